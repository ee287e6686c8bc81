// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Certificates that must be refused, each with the code and the text that say why.

#include <cosock/tls.hpp>

#define BOOST_TEST_MODULE tls_refusals
#include "tls_fixture.hpp"

#include <stdexcept>

namespace {

using cosock::task;
using cosock::tls_client_context;
using cosock::tls_errc;
using cosock::tls_identity;
using cosock::tls_server_context;
using test::certificate_request;
using test::contains;
using test::issued_certificate;
using test::make_authority;
using test::make_certificate;
using test::refusal;

/// The client refuses the certificate, with this code and text; the server learns of it by an alert.
task<> check_refused(const tls_identity& shown, tls_errc code, std::string text, int alert,
                     std::string host = "localhost", const tls_client_context* with = nullptr) {
  const test::trusting_client trusting;
  const tls_server_context server(shown);
  const refusal told = co_await test::refused(with ? *with : trusting.context, server, host);
  BOOST_TEST(told.client.is(code));
  const std::string said = told.client.text();
  BOOST_TEST(contains(said, host + ": "), said);
  BOOST_TEST(contains(said, text), said);
  BOOST_REQUIRE(told.server);
  try {
    std::rethrow_exception(told.server.error);
  } catch (const cosock::tls_error& e) {
    BOOST_TEST(e.from_peer());
    BOOST_TEST((e.alert() && *e.alert() == alert), e.what());
    BOOST_TEST(contains(e.what(), "the peer refused the TLS handshake"), e.what());
  }
}

task<> check_refused(const issued_certificate& shown, tls_errc code, std::string text, int alert,
                     std::string host = "localhost") {
  const tls_identity identity = test::identity_of(shown);
  co_await check_refused(identity, code, text, alert, host);
}

issued_certificate issue(const certificate_request& asked) {
  return make_certificate(asked, &test::root());
}

COROUTINE_TEST_CASE(a_good_certificate_is_accepted) {
  const test::trusting_client trusting;
  const tls_server_context server(test::identity_of(test::localhost()));
  for (const char* const host : {"localhost", "LocalHost", "localhost.", "127.0.0.1"}) {
    const refusal told = co_await test::refused(trusting.context, server, host);
    BOOST_TEST(!told.client, told.client.text());
    BOOST_TEST(!told.server, told.server.text());
  }
}

COROUTINE_TEST_CASE(expired) {
  const issued_certificate shown = issue({.from = -864000, .until = -3 * 86400 - 100});
  co_await check_refused(shown, tls_errc::certificate_expired,
                         "the certificate has expired: CN=leaf was valid until 20", 45);
  co_await check_refused(shown, tls_errc::certificate_expired, " UTC, 3 days ago", 45);
}

COROUTINE_TEST_CASE(not_yet_valid) {
  const issued_certificate shown = issue({.from = 7300});
  co_await check_refused(shown, tls_errc::certificate_not_yet_valid,
                         "the certificate is not valid yet: CN=leaf is valid from 20", 42);
}

COROUTINE_TEST_CASE(for_another_name) {
  const issued_certificate shown = issue({.names = "DNS:a.example,DNS:*.b.example,IP:::1"});
  co_await check_refused(shown, tls_errc::name_mismatch,
                         "the certificate is not for localhost: it is for a.example, *.b.example, "
                         "0:0:0:0:0:0:0:1",
                         42);
}

COROUTINE_TEST_CASE(with_the_name_only_in_the_subject) {
  const issued_certificate shown = issue({.subject = "localhost", .names = ""});
  co_await check_refused(shown, tls_errc::name_mismatch,
                         "no DNS name and no IP address (its subject CN=localhost does not count)",
                         42);
}

COROUTINE_TEST_CASE(a_wildcard_is_for_one_whole_label) {
  const issued_certificate wild = issue({.names = "DNS:*.example.org,DNS:f*.example.com"});
  const test::trusting_client trusting;
  const tls_server_context server(test::identity_of(wild));
  BOOST_TEST(!(co_await test::refused(trusting.context, server, "a.example.org")).client);
  for (const char* const host : {"a.b.example.org", "example.org", "foo.example.com"})
    co_await check_refused(wild, tls_errc::name_mismatch, "it is for *.example.org", 42, host);
}

COROUTINE_TEST_CASE(an_address_needs_an_address) {
  const issued_certificate shown = issue({.names = "DNS:127.0.0.1,DNS:localhost"});
  co_await check_refused(shown, tls_errc::name_mismatch, "the certificate is not for 127.0.0.1", 42,
                         "127.0.0.1");
  const issued_certificate other = issue({.names = "IP:127.0.0.1"});
  co_await check_refused(other, tls_errc::name_mismatch, "it is for 127.0.0.1", 42, "127.0.0.2");
}

COROUTINE_TEST_CASE(signed_by_itself) {
  const issued_certificate shown = make_certificate({});
  co_await check_refused(shown, tls_errc::unknown_authority,
                         "the certificate CN=leaf is signed by itself, and is not trusted", 48);
}

COROUTINE_TEST_CASE(of_an_unknown_authority) {
  const issued_certificate other = make_authority("other root");
  const issued_certificate shown = make_certificate({}, &other);
  co_await check_refused(shown, tls_errc::unknown_authority,
                         "the authority CN=other root, which has issued CN=leaf, is not trusted",
                         48);
  const issued_certificate leaf = make_certificate({}, &other);
  const tls_identity with_root = test::identity_of(leaf, other.pem());
  co_await check_refused(with_root, tls_errc::unknown_authority,
                         "the authority CN=other root is not trusted", 48);
}

COROUTINE_TEST_CASE(nothing_is_trusted_if_nothing_was_added) {
  const tls_client_context none(cosock::tls_roots::none);
  const tls_identity shown = test::identity_of(test::localhost());
  co_await check_refused(shown, tls_errc::unknown_authority, "is not trusted", 48, "localhost",
                         &none);
}

COROUTINE_TEST_CASE(the_system_does_not_trust_a_test) {
  const tls_client_context system;
  const tls_identity shown = test::identity_of(test::localhost());
  co_await check_refused(shown, tls_errc::unknown_authority, "is not trusted", 48, "localhost",
                         &system);
}

COROUTINE_TEST_CASE(chain_without_its_intermediate_certificate) {
  const issued_certificate between = make_authority("intermediate", &test::root());
  const issued_certificate leaf = make_certificate({}, &between);
  co_await check_refused(leaf, tls_errc::unknown_authority,
                         "or an intermediate certificate is missing", 48);
  const test::trusting_client trusting;
  const tls_server_context whole(test::identity_of(leaf, between.pem()));
  BOOST_TEST(!(co_await test::refused(trusting.context, whole)).client);
}

COROUTINE_TEST_CASE(of_an_authority_that_is_none) {
  const issued_certificate leaf = make_certificate({.names = "DNS:elsewhere"}, &test::root());
  const issued_certificate below = make_certificate({}, &leaf);
  const tls_identity shown = test::identity_of(below, leaf.pem());
  const test::trusting_client trusting;
  const tls_server_context server(shown);
  const refusal told = co_await test::refused(trusting.context, server);
  BOOST_TEST(told.client);
}

COROUTINE_TEST_CASE(for_another_purpose) {
  const issued_certificate shown = issue({.usage = "clientAuth"});
  co_await check_refused(shown, tls_errc::wrong_purpose,
                         "the certificate CN=leaf is refused: ", 43);
}

COROUTINE_TEST_CASE(revoked_by_a_list) {
  const issued_certificate leaf = issue({});
  const std::string list = test::make_revocation_list(test::root(), &leaf);
  test::trusting_client trusting;
  trusting.context.add_revocation_lists(list);
  const tls_identity shown = test::identity_of(leaf);
  co_await check_refused(shown, tls_errc::revoked,
                         "the certificate CN=leaf is revoked by CN=test root", 44, "localhost",
                         &trusting.context);
  const tls_server_context good(test::identity_of(test::localhost()));
  BOOST_TEST(!(co_await test::refused(trusting.context, good)).client);
}

COROUTINE_TEST_CASE(every_authority_of_the_chain_needs_a_list) {
  const issued_certificate between = make_authority("intermediate", &test::root());
  const issued_certificate leaf = make_certificate({}, &between);
  test::trusting_client trusting;
  trusting.context.add_revocation_lists(test::make_revocation_list(test::root()));
  const tls_identity shown = test::identity_of(leaf, between.pem());
  co_await check_refused(shown, tls_errc::revocation_unknown,
                         "whether the certificate CN=leaf is revoked is unknown", 48, "localhost",
                         &trusting.context);
  trusting.context.add_revocation_lists(test::make_revocation_list(between));
  const tls_server_context server(shown);
  const refusal told = co_await test::refused(trusting.context, server);
  BOOST_TEST(!told.client, told.client.text());
  // The intermediate one itself is revoked.
  test::trusting_client strict;
  strict.context.add_revocation_lists(test::make_revocation_list(test::root(), &between));
  strict.context.add_revocation_lists(test::make_revocation_list(between));
  BOOST_TEST((co_await test::refused(strict.context, server)).client.is(tls_errc::revoked));
}

COROUTINE_TEST_CASE(weak_certificates_are_refused_on_both_sides) {
  const issued_certificate sha1 = issue({.digest = EVP_sha1()});
  const issued_certificate rsa = issue({.rsa_bits = 1024});
  for (const issued_certificate* const weak : {&sha1, &rsa}) {
    const auto is_weak = [](const cosock::tls_error& e) {
      return e.code() == make_error_code(tls_errc::weak_certificate);
    };
    const tls_identity shown = test::identity_of(*weak);
    BOOST_CHECK_EXCEPTION(tls_server_context{shown}, cosock::tls_error, is_weak);
    test::trusting_client client;
    BOOST_CHECK_EXCEPTION(client.context.set_certificate(shown), cosock::tls_error, is_weak);
    tls_server_context server(test::identity_of(test::localhost()));
    BOOST_CHECK_EXCEPTION(server.add("weak.test", shown), cosock::tls_error, is_weak);
  }
  co_return;
}

COROUTINE_TEST_CASE(pins) {
  const test::issued_certificate other = make_authority("other root");
  const auto pin_of = [](const issued_certificate& c) {
    unsigned char* der = nullptr;
    const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c.certificate.get()), &der);
    unsigned char digest[32];
    EVP_Digest(der, static_cast<std::size_t>(size), digest, nullptr, EVP_sha256(), nullptr);
    OPENSSL_free(der);
    char text[45];
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text), digest, 32);
    return std::string(text);
  };
  const tls_identity shown = test::identity_of(test::localhost());
  const tls_server_context server(shown);
  for (const issued_certificate* const pinned : {&test::root(), &test::localhost()}) {
    test::trusting_client trusting;
    trusting.context.add_pin(pin_of(other));
    trusting.context.add_pin(pin_of(*pinned));
    const refusal told = co_await test::refused(trusting.context, server);
    BOOST_TEST(!told.client, told.client.text());
  }
  test::trusting_client trusting;
  trusting.context.add_pin(pin_of(other));
  co_await check_refused(shown, tls_errc::pin_mismatch,
                         "no key of the certificate chain of CN=leaf", 40, "localhost",
                         &trusting.context);
  trusting.context.dangerously_disable_verification();
  co_await check_refused(shown, tls_errc::pin_mismatch, "is pinned", 40, "localhost",
                         &trusting.context);
  for (const char* const bad : {"", "AAAA", "xyz"})
    BOOST_CHECK_THROW(trusting.context.add_pin(bad), std::invalid_argument);
  BOOST_CHECK_THROW(trusting.context.add_pin(std::string(64, 'g')), std::invalid_argument);
  trusting.context.add_pin(std::string(64, 'a'));
}

COROUTINE_TEST_CASE(only_the_long_name_turns_verification_off) {
  tls_client_context careless(cosock::tls_roots::none);
  careless.dangerously_disable_verification();
  const tls_server_context server(test::identity_of(make_certificate({.names = "DNS:other"})));
  const refusal told = co_await test::refused(careless, server);
  BOOST_TEST(!told.client, told.client.text());
}

COROUTINE_TEST_CASE(a_client_needs_a_name) {
  const test::trusting_client trusting;
  for (const std::string& host : {std::string(), std::string("."), std::string("a\0b", 3)}) {
    auto ends = co_await test::make_memory_pair();
    BOOST_CHECK_THROW(co_await cosock::tls_over(trusting.context, std::move(ends.first), host),
                      std::invalid_argument);
  }
}

COROUTINE_TEST_CASE(names_of_a_certificate_cannot_falsify_a_log) {
  const issued_certificate odd = issue({.subject = "a\nb", .names = "DNS:x"});
  const test::trusting_client trusting;
  const tls_server_context server(test::identity_of(odd));
  const refusal told = co_await test::refused(trusting.context, server);
  BOOST_TEST(!contains(told.client.text(), "\n"));
}

}  // namespace
