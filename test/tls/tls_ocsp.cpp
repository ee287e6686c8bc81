// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Stapled OCSP responses: a server sends the one of its file, and a client verifies it.

#include <cosock/tls.hpp>

#define BOOST_TEST_MODULE tls_ocsp
#include "tls_fixture.hpp"

#include <openssl/ocsp.h>
#include <unistd.h>

#include <fstream>

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

/// The handshake of a client with a server that staples this.
cosock::task<test::refusal> with_response(const issued_certificate& leaf, std::string response) {
  const std::string path = "tls_ocsp_" + std::to_string(::getpid());
  std::ofstream(path) << response;
  cosock::tls_identity identity = test::identity_of(leaf);
  identity.set_ocsp_response_file(path);
  const cosock::tls_server_context server(identity);
  ::unlink(path.c_str());
  const test::trusting_client trusting;
  co_return co_await test::refused(trusting.context, server);
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
  const issued_certificate leaf = test::make_certificate({}, &test::root());
  const auto good = V_OCSP_CERTSTATUS_GOOD;
  const std::pair<std::string, const char*> responses[] = {
      {"nonsense", "malformed"},
      {make_response(test::localhost(), test::root(), other, good), "signature"},
      {make_response(leaf, test::root(), test::root(), good), "another certificate"},
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

}  // namespace
