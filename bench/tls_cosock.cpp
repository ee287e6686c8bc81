// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// TLS of cosock-tls. See tls_measure.hpp.

#include <cosock/loop.hpp>
#include <cosock/tls.hpp>
#include <cosock/when.hpp>

#include "tls_certificate.hpp"
#include "tls_measure.hpp"

#include <optional>
#include <vector>

namespace {

using cosock::task;
using cosock::tls_stream;

struct contexts {
  explicit contexts(const tls_certificate_pem& pem)
      : server(cosock::tls_identity::from_pem(pem.certificate, pem.key)),
        client(cosock::tls_roots::none) {
    client.add_roots(pem.certificate);
  }
  cosock::tls_server_context server;
  cosock::tls_client_context client;
};

struct ends {
  tls_stream client;
  tls_stream server;
};

task<ends> connect(const contexts& with, cosock::tcp_acceptor& acceptor, bool resume) {
  auto [one, other] =
      co_await cosock::when_all(cosock::connect(acceptor.local_endpoint()), acceptor.accept());
  auto [client, server] = co_await cosock::when_all(
      cosock::tls_over(with.client, std::move(one), "localhost", {.resume = resume}),
      cosock::tls_accept(with.server, std::move(other)));
  co_return ends{std::move(client), std::move(server)};
}

task<> round_trips(ends& pair, int count) {
  const auto echo = [&]() -> task<> {
    char block[64];
    for (int i = 0; i != count; ++i) {
      co_await pair.server.receive_exactly(block);
      co_await pair.server.send(block);
    }
  };
  const auto ask = [&]() -> task<> {
    char block[64] = {};
    for (int i = 0; i != count; ++i) {
      co_await pair.client.send(block);
      co_await pair.client.receive_exactly(block);
    }
  };
  co_await cosock::when_all(echo(), ask());
}

task<> bulk(ends& pair, int mebibytes) {
  const auto send = [&]() -> task<> {
    const std::vector<char> block(256 << 10);
    for (int i = 0; i != 4 * mebibytes; ++i) co_await pair.client.send(block);
    pair.client.shutdown_send();
  };
  const auto receive = [&]() -> task<> {
    std::vector<char> block(256 << 10);
    while (co_await pair.server.receive(block) != 0) {
    }
  };
  co_await cosock::when_all(send(), receive());
}

task<> handshakes(const contexts& with, cosock::tcp_acceptor& acceptor, int count, bool resume) {
  const tls_rate rate;
  int resumed = 0;
  for (int i = 0; i != count; ++i) {
    ends pair = co_await connect(with, acceptor, resume);
    resumed += pair.client.is_resumed();
    if (resume) co_await round_trips(pair, 1);
  }
  rate.print(count);
  if (resume && resumed < count - 1) std::fprintf(stderr, "only %d were resumed\n", resumed);
}

task<> measure(const contexts& with, tls_task what) {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  if (what.what == "handshakes" || what.what == "resumed") {
    co_await handshakes(with, acceptor, what.count, what.what == "resumed");
    co_return;
  }
  ends first = co_await connect(with, acceptor, false);
  if (what.what == "round-trips") {
    co_await round_trips(first, what.count);
  } else if (what.what == "bulk") {
    const tls_rate rate;
    co_await bulk(first, what.count);
    rate.print(what.count);
  } else {
    std::vector<ends> all;
    all.reserve(static_cast<std::size_t>(what.count));
    const std::size_t before = bytes_in_use();
    for (int i = 0; i != what.count; ++i) {
      ends made = co_await connect(with, acceptor, false);
      all.push_back(std::move(made));
      co_await round_trips(all.back(), 1);
    }
    std::printf("%zu\n", (bytes_in_use() - before) / (2 * static_cast<std::size_t>(what.count)) +
                             sizeof(tls_stream));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const tls_task what = tls_arguments(argc, argv);
  const contexts with(make_tls_certificate());
  cosock::loop loop;
  loop.run(measure(with, what));
}
