// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Stapled OCSP responses: a server sends the one of its file, and a client verifies it.

#include <cosock/tls.hpp>

#define BOOST_TEST_MODULE tls_ocsp
#include "raw_tls.hpp"
#include "temporary_file.hpp"
#include "tls_fixture.hpp"

#include <openssl/ocsp.h>

#include <stdexcept>

namespace {

using cosock::tls_errc;
using test::contains;
using test::issued_certificate;

/// The response of an authority for a certificate. Times are in seconds from now.
std::string make_response(const issued_certificate& leaf, const issued_certificate& issuer,
                          const issued_certificate& signer, int status, long from = -60,
                          long until = 3600) {
  OCSP_BASICRESP* const basic = OCSP_BASICRESP_new();
  OCSP_CERTID* const id =
      OCSP_cert_to_id(nullptr, leaf.certificate.get(), issuer.certificate.get());
  ASN1_TIME* const begin = X509_gmtime_adj(nullptr, from);
  ASN1_TIME* const end = X509_gmtime_adj(nullptr, until);
  ASN1_TIME* const revoked =
      status == V_OCSP_CERTSTATUS_REVOKED ? X509_gmtime_adj(nullptr, -30) : nullptr;
  OCSP_basic_add1_status(basic, id, status, OCSP_REVOKED_STATUS_KEYCOMPROMISE, revoked, begin, end);
  OCSP_basic_sign(basic, signer.certificate.get(), signer.key.get(), EVP_sha256(), nullptr, 0);
  OCSP_RESPONSE* const response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
  unsigned char* der = nullptr;
  const int size = i2d_OCSP_RESPONSE(response, &der);
  std::string bytes(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  OCSP_RESPONSE_free(response);
  OCSP_BASICRESP_free(basic);
  OCSP_CERTID_free(id);
  ASN1_TIME_free(begin);
  ASN1_TIME_free(end);
  ASN1_TIME_free(revoked);
  return bytes;
}

std::string for_another() {
  const issued_certificate leaf = test::make_certificate({}, &test::root());
  return make_response(leaf, test::root(), test::root(), V_OCSP_CERTSTATUS_GOOD);
}

/// The handshake of a client with a server that staples this.
cosock::task<test::refusal> with_response(const issued_certificate& leaf, std::string response) {
  const test::temporary_file file(response);
  cosock::tls_identity identity = test::identity_of(leaf);
  identity.set_ocsp_response_file(file.path());
  const cosock::tls_server_context server(identity);
  const test::trusting_client trusting;
  co_return co_await test::refused(trusting.context, server);
}

int staple(SSL* ssl, void* response) {
  const auto& bytes = *static_cast<const std::string*>(response);
  SSL_set_tlsext_status_ocsp_resp(ssl, OPENSSL_memdup(bytes.data(), bytes.size()),
                                  static_cast<long>(bytes.size()));
  return SSL_TLSEXT_ERR_OK;
}

/// The error of a client whose server staples this without a look at it.
cosock::task<test::thrown> with_raw_response(std::string response) {
  auto ends = co_await test::make_memory_pair(50'000);
  const test::raw_context context = test::make_raw_context(&test::localhost());
  SSL_CTX_set_tlsext_status_cb(context.get(), staple);
  SSL_CTX_set_tlsext_status_arg(context.get(), &response);
  test::thrown told;
  const auto client = [&]() -> cosock::task<> {
    const test::trusting_client trusting;
    try {
      co_await cosock::tls_over(trusting.context, std::move(ends.first), "localhost");
    } catch (...) {
      told.error = std::current_exception();
    }
  };
  const auto server = [&]() -> cosock::task<> {
    test::raw_tls raw(*ends.second, context, test::raw_tls::server);
    try {
      co_await raw.handshake();
    } catch (const std::runtime_error&) {
      // It is refused.
    }
    ends.second->close();
  };
  co_await cosock::when_all(client(), server());
  co_return told;
}

COROUTINE_TEST_CASE(a_good_response_is_accepted) {
  const std::string response =
      make_response(test::localhost(), test::root(), test::root(), V_OCSP_CERTSTATUS_GOOD);
  const test::refusal told = co_await with_response(test::localhost(), response);
  BOOST_TEST(!told.client, told.client.text());
}

COROUTINE_TEST_CASE(a_revoked_certificate_is_refused) {
  const std::string response =
      make_response(test::localhost(), test::root(), test::root(), V_OCSP_CERTSTATUS_REVOKED);
  const test::refusal told = co_await with_response(test::localhost(), response);
  BOOST_TEST(told.client.is(tls_errc::revoked), told.client.text());
  BOOST_TEST(contains(told.client.text(), "as the OCSP response says, since 20"),
             told.client.text());
  BOOST_TEST(told.server);
}

COROUTINE_TEST_CASE(a_response_that_proves_nothing_is_refused) {
  const issued_certificate other = test::make_authority("other");
  const auto good = V_OCSP_CERTSTATUS_GOOD;
  const std::pair<std::string, const char*> responses[] = {
      {make_response(test::localhost(), test::root(), other, good), "signature"},
      {make_response(test::localhost(), test::root(), test::root(), good, -7200, -3600),
       "out of date"},
      {make_response(test::localhost(), test::root(), test::root(), good, 3600, 7200),
       "out of date"},
      {make_response(test::localhost(), test::root(), test::root(), V_OCSP_CERTSTATUS_UNKNOWN),
       "does not know"}};
  for (const auto& [response, why] : responses) {
    const test::refusal told = co_await with_response(test::localhost(), response);
    BOOST_TEST(told.client.is(tls_errc::revocation_unknown), told.client.text());
    BOOST_TEST(contains(told.client.text(), why), told.client.text());
  }
}

COROUTINE_TEST_CASE(a_client_refuses_any_response_that_is_not_for_the_certificate) {
  // From 3.6 on, OpenSSL does not send these.
  if (OpenSSL_version_num() >= 0x30600000) co_return;
  const std::pair<std::string, const char*> responses[] = {{"nonsense", "malformed"},
                                                           {for_another(), "another certificate"}};
  for (const auto& [response, why] : responses) {
    const test::thrown told = co_await with_raw_response(response);
    BOOST_TEST(told.is(tls_errc::revocation_unknown), told.text());
    BOOST_TEST(contains(told.text(), why), told.text());
  }
}

COROUTINE_TEST_CASE(a_file_without_a_response_for_the_certificate_is_refused) {
  const std::pair<std::string, const char*> files[] = {
      {"nonsense", "not an OCSP response"},
      {"", "not an OCSP response"},
      {std::string("\x30\x03\x0a\x01\x03", 5), "reports an error"},  // try later
      {for_another(), "the OCSP response is for another certificate"}};
  for (const auto& [file, why] : files) {
    const auto says_why = [&](const cosock::tls_error& e) {
      return e.code() == make_error_code(tls_errc::invalid_file) && contains(e.what(), why) &&
             contains(e.what(), "test_file_");
    };
    BOOST_CHECK_EXCEPTION(co_await with_response(test::localhost(), file), cosock::tls_error,
                          says_why);
  }
}

}  // namespace
