// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// TLS: a second library, on OpenSSL 3. dependency('cosock-tls') in Meson, cosock::tls in CMake. Not part of
// <cosock/cosock.hpp>. A program that compares or catches errors also includes <cosock/tls_error.hpp>, which
// takes longer to compile than the headers below, because of Boost's error codes.

#include <cosock/tcp.hpp>
#include <cosock/tls_certificate.hpp>
#include <cosock/tls_client.hpp>
#include <cosock/tls_facts.hpp>
#include <cosock/tls_identity.hpp>
#include <cosock/tls_server.hpp>
#include <cosock/tls_stream.hpp>
