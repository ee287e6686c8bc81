// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// A chat room on Asio's own coroutines that writes the lines one by one, as Asio's example does.

#include "chat_asio.hpp"

int main(int argc, char** argv) { return serve_with_asio(argc, argv, member<1>::join); }
