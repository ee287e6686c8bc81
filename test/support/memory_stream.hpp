// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "scripted_stream.hpp"

#include <utility>

namespace test {

/// One end of a connection in memory, through which so many bytes are on their way at most.
class memory_stream final : public cosock::byte_stream {
 public:
  memory_stream(cosock::detail::loop_state* loop, std::size_t room) : byte_stream(&end_) {
    end_.loop = loop;
    end_.room = room;
  }
  ~memory_stream() override { close(); }

  static void join(memory_stream& a, memory_stream& b) {
    a.end_.peer = &b.end_;
    b.end_.peer = &a.end_;
  }

  void shutdown_send() override {
    if (!object_) cosock::detail::raise_closed();
    end_.end();
  }
  void close() noexcept override {
    if (!object_) return;
    object_ = nullptr;
    end_.end();
    if (end_.peer) end_.peer->leave();
    end_.leave();
    end_.abandon({static_cast<int>(cosock::error::closed), &cosock::cosock_category()});
    end_.loop = nullptr;
  }

 private:
  struct end_point final : cosock::detail::io_object {
    using operation = cosock::detail::stream_operation;
    using step = cosock::detail::step;
    void arm(cosock::detail::io_direction) override {}
    bool is_ready(cosock::detail::io_direction direction) noexcept override {
      return maybe_ready[direction] = direction == cosock::detail::reading
                                          ? !incoming.empty() || ended
                                          : shut || !peer || peer->incoming.size() < peer->room;
    }
    step transfer(operation& op) override {
      for (;;) {
        cosock::detail::piece p{nullptr, 0};
        if (op.contiguous())
          p = {op.data(), op.left()};
        else
          op.pieces(&p, 1);
        if (op.direction() == cosock::detail::writing) {
          if (shut || !peer) return op.failed({EPIPE, &boost::system::system_category()});
          const std::size_t n = std::min(p.size, peer->room - peer->incoming.size());
          if (n == 0) {
            maybe_ready[cosock::detail::writing] = false;
            return step::pending;
          }
          peer->incoming.append(static_cast<const char*>(p.data), n);
          peer->ready(cosock::detail::reading);
          if (op.moved(n) == step::done) return step::done;
        } else {
          const std::size_t n = std::min(p.size, incoming.size());
          if (n == 0 && ended) return op.moved(0);
          if (n == 0) {
            maybe_ready[cosock::detail::reading] = false;
            return step::pending;
          }
          std::memcpy(p.data, incoming.data(), n);
          incoming.erase(0, n);
          if (peer) peer->ready(cosock::detail::writing);
          if (op.moved(n) == step::done) {
            is_ready(cosock::detail::reading);
            return step::done;
          }
        }
      }
    }
    void end() {
      if (std::exchange(shut, true) || !peer) return;
      peer->ended = true;
      peer->ready(cosock::detail::reading);
    }
    void leave() {
      peer = nullptr;
      ready(cosock::detail::writing);
    }
    std::string incoming;
    std::size_t room = 0;
    end_point* peer = nullptr;
    bool ended = false;
    bool shut = false;
  };
  end_point end_;
};

using memory_ends = std::pair<std::unique_ptr<memory_stream>, std::unique_ptr<memory_stream>>;

inline cosock::task<memory_ends> make_memory_pair(std::size_t room = 5000) {
  cosock::detail::loop_state* const loop = co_await this_core();
  memory_ends ends{std::make_unique<memory_stream>(loop, room),
                   std::make_unique<memory_stream>(loop, room)};
  memory_stream::join(*ends.first, *ends.second);
  co_return ends;
}

}  // namespace test
