// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// TLS, of the library cosock-tls: dependency('cosock-tls') in Meson, cosock::tls in CMake. It is a second library,
// on OpenSSL 3, and not part of <cosock/cosock.hpp>. A program that compares or catches errors includes
// <cosock/tls_error.hpp> too: the error codes of Boost cost more to compile than all the rest.

#include <cosock/tls_certificate.hpp>
#include <cosock/tls_client.hpp>
#include <cosock/tls_facts.hpp>
#include <cosock/tls_identity.hpp>
#include <cosock/tls_server.hpp>
#include <cosock/tls_stream.hpp>
