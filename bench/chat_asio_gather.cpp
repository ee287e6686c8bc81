// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// A chat room on Asio's own coroutines with one call for all lines that wait for a member (up to 32,
// as cosock's outbox has it).

#include "chat_asio.hpp"

int main(int argc, char** argv) { return serve_with_asio(argc, argv, member<32>::join); }
