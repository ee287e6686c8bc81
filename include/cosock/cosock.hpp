// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

/// All headers of the library except <cosock/asio.hpp>. Including single headers compiles faster.
///
/// The rules of lifetime, which hold for all headers: arguments passed by reference, view or span
/// must outlive the `co_await`; objects passed to a constructor by reference, except options, which
/// are copied, must outlive the constructed object; a task owns the arguments that are passed to it
/// by value. A socket may be closed or destroyed, and a loop destroyed, while operations are
/// pending: the operations end, and access nothing afterwards. Sockets, tasks and synchronization
/// objects belong to one loop, which one thread at a time uses. Functions that other threads may
/// call, such as `loop::post` and the senders of a `mailbox`, say so.

// Tasks, and what runs them
#include <cosock/awaitable.hpp>
#include <cosock/dump.hpp>
#include <cosock/loop.hpp>
#include <cosock/loop_counters.hpp>
#include <cosock/loops.hpp>
#include <cosock/run.hpp>
#include <cosock/run_options.hpp>
#include <cosock/signal.hpp>
#include <cosock/task.hpp>
#include <cosock/watch.hpp>

// Side by side, within limits
#include <cosock/cancel.hpp>
#include <cosock/clock.hpp>
#include <cosock/duration.hpp>
#include <cosock/finally.hpp>
#include <cosock/nursery.hpp>
#include <cosock/threads.hpp>
#include <cosock/time.hpp>
#include <cosock/when.hpp>

// Between tasks
#include <cosock/broadcast.hpp>
#include <cosock/channel.hpp>
#include <cosock/mailbox.hpp>
#include <cosock/promise.hpp>
#include <cosock/sync.hpp>

// Streams
#include <cosock/acceptors.hpp>
#include <cosock/buffer.hpp>
#include <cosock/connect.hpp>
#include <cosock/connection.hpp>
#include <cosock/copy.hpp>
#include <cosock/credentials.hpp>
#include <cosock/custom_stream.hpp>
#include <cosock/descriptor_handle.hpp>
#include <cosock/descriptor_stream.hpp>
#include <cosock/descriptors.hpp>
#include <cosock/duplex_stream.hpp>
#include <cosock/file.hpp>
#include <cosock/finish.hpp>
#include <cosock/frame.hpp>
#include <cosock/limited_stream.hpp>
#include <cosock/local.hpp>
#include <cosock/outbox.hpp>
#include <cosock/progress.hpp>
#include <cosock/proxy_header.hpp>
#include <cosock/proxy_protocol.hpp>
#include <cosock/rate_limit.hpp>
#include <cosock/reader.hpp>
#include <cosock/reconnect.hpp>
#include <cosock/serve.hpp>
#include <cosock/socket.hpp>
#include <cosock/stream.hpp>
#include <cosock/tcp.hpp>
#include <cosock/tcp_options.hpp>
#include <cosock/unique_descriptor.hpp>

// Datagrams
#include <cosock/custom_datagram_socket.hpp>
#include <cosock/datagram.hpp>
#include <cosock/local_datagram.hpp>
#include <cosock/udp.hpp>

// With the service manager, and with the next process
#include <cosock/hand_over.hpp>
#include <cosock/inherited.hpp>
#include <cosock/notify.hpp>

// Names
#include <cosock/address.hpp>
#include <cosock/address_range.hpp>
#include <cosock/local_endpoint.hpp>
#include <cosock/resolve.hpp>

#include <cosock/error.hpp>
#include <cosock/observer.hpp>
#include <cosock/version.hpp>
