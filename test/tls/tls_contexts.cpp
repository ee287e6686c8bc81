// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// What contexts agree on: names, application protocols, client certificates, versions, sessions; and
// replacing certificates while a server runs.

#include <cosock/tls.hpp>

#define BOOST_TEST_MODULE tls_contexts
#include "temporary_file.hpp"
#include "tls_fixture.hpp"

#include <cosock/cosock.hpp>

#include <openssl/pkcs12.h>

#include <stdexcept>

namespace {

using cosock::task;
using cosock::tls_client_certificates;
using cosock::tls_client_context;
using cosock::tls_errc;
using cosock::tls_identity;
using cosock::tls_server_context;
using cosock::tls_stream;
using cosock::tls_version;
using test::contains;
using test::issued_certificate;
using test::make_certificate;
using test::refusal;
using test::temporary_file;
using test::tls_pair;

issued_certificate for_name(const std::string& name) {
  return make_certificate({.subject = name, .names = "DNS:" + name}, &test::root());
}

/// The subject of the certificate that a client sees when it asks for this name.
task<std::string> shown(const tls_server_context& server, std::string host) {
  tls_client_context any(cosock::tls_roots::none);
  any.dangerously_disable_verification();
  const tls_pair made = co_await test::tls_over_memory(any, server, host);
  co_return made.client.facts().peer->subject();
}

COROUTINE_TEST_CASE(a_server_has_several_names) {
  tls_server_context server(test::identity_of(for_name("first")));
  server.add("second.example", test::identity_of(for_name("second")));
  server.add("*.example", test::identity_of(for_name("wild")));
  BOOST_TEST(co_await shown(server, "second.example") == "CN=second");
  BOOST_TEST(co_await shown(server, "Second.Example") == "CN=second");
  BOOST_TEST(co_await shown(server, "third.example") == "CN=wild");
  BOOST_TEST(co_await shown(server, "a.b.example") == "CN=first");
  BOOST_TEST(co_await shown(server, "127.0.0.1") == "CN=first");
  BOOST_CHECK_THROW(server.add("", test::identity_of(for_name("x"))), std::invalid_argument);
}

COROUTINE_TEST_CASE(an_unknown_name_can_be_refused) {
  tls_server_context server(test::identity_of(test::localhost()));
  server.add("localhost", test::identity_of(test::localhost()));
  server.set_unknown_name(cosock::tls_unknown_name::refuse);
  const test::trusting_client trusting;
  BOOST_TEST(!(co_await test::refused(trusting.context, server)).client);
  BOOST_TEST(!(co_await test::refused(trusting.context, server, "127.0.0.1")).client);
  const refusal told = co_await test::refused(trusting.context, server, "other.example");
  BOOST_TEST(told.client.is(tls_errc::unrecognized_name));
  BOOST_TEST(told.server.is(tls_errc::unrecognized_name));
  BOOST_TEST(contains(told.server.text(), "asks for the name other.example"), told.server.text());
}

COROUTINE_TEST_CASE(application_protocols) {
  test::trusting_client trusting;
  tls_server_context server(test::identity_of(test::localhost()));
  {
    const tls_pair neither = co_await test::tls_over_memory(trusting.context, server);
    BOOST_TEST(neither.client.protocol() == "");
  }
  trusting.context.set_protocols({"h2", "http/1.1"});
  {
    const tls_pair ignored = co_await test::tls_over_memory(trusting.context, server);
    BOOST_TEST(ignored.client.protocol() == "");
  }
  server.set_protocols({"spdy", "http/1.1", "h2"});
  {
    const tls_pair agreed = co_await test::tls_over_memory(trusting.context, server);
    BOOST_TEST(agreed.client.protocol() == "http/1.1");  // what the server prefers
    BOOST_TEST(agreed.server.protocol() == "http/1.1");
  }
  server.set_protocols({"imap"});
  const refusal told = co_await test::refused(trusting.context, server);
  BOOST_TEST(told.client.is(tls_errc::no_common_protocol));
  BOOST_TEST(contains(told.client.text(), "(TLS alert 120)"), told.client.text());
  BOOST_TEST(told.server.is(tls_errc::no_common_protocol));
  const test::trusting_client without;
  BOOST_TEST(!(co_await test::refused(without.context, server)).client);
  const std::vector<std::string> list = {"imap", "h2"};
  server.set_protocols(list);
  const tls_pair listed = co_await test::tls_over_memory(trusting.context, server);
  BOOST_TEST(listed.client.protocol() == "h2");
  BOOST_CHECK_THROW(server.set_protocols({""}), std::invalid_argument);
  const std::vector<std::string> many(256, std::string(255, 'x'));
  BOOST_CHECK_THROW(server.set_protocols(many), std::invalid_argument);
  BOOST_CHECK_THROW(server.set_protocols({std::string(256, 'x')}), std::invalid_argument);
}

COROUTINE_TEST_CASE(certificates_of_peers_are_values) {
  const test::trusting_client trusting;
  const tls_server_context server(test::identity_of(test::localhost()));
  std::optional<cosock::tls_certificate> kept;
  std::span<const unsigned char> der;
  {
    tls_pair made = co_await test::tls_over_memory(trusting.context, server);
    cosock::tls_facts facts = made.client.facts();
    der = facts.peer->der();
    kept = *facts.peer;
    // A certificate that was moved from has its fields, too.
    const cosock::tls_certificate moved = std::move(*facts.peer);
    BOOST_TEST(facts.peer->subject() == moved.subject());
    BOOST_TEST(made.client.facts().peer->fingerprint() == moved.fingerprint());
  }
  BOOST_TEST(kept->subject() == "CN=leaf");
  BOOST_TEST(kept->der().data() == der.data());
}

COROUTINE_TEST_CASE(client_certificates) {
  const issued_certificate clients = test::make_authority("clients");
  const issued_certificate alice = make_certificate(
      {.subject = "alice", .names = "email:alice@example.org", .usage = "clientAuth"}, &clients);
  test::trusting_client known;
  known.context.set_certificate(test::identity_of(alice));
  const test::trusting_client unknown;
  test::trusting_client refused;
  refused.context.set_certificate(test::identity_of(test::localhost()));

  tls_server_context server(test::identity_of(test::localhost()));
  server.add_client_roots(clients.pem());
  {
    const tls_pair not_asked = co_await test::tls_over_memory(known.context, server);
    BOOST_TEST(!not_asked.server.facts().peer);
  }
  server.set_client_certificates(tls_client_certificates::optional);
  {
    const tls_pair with = co_await test::tls_over_memory(known.context, server);
    const auto peer = with.server.facts().peer;
    BOOST_REQUIRE(peer);
    BOOST_TEST(peer->subject() == "CN=alice");
    BOOST_TEST(peer->issuer() == "CN=clients");
    BOOST_REQUIRE(peer->names().size() == 1u);
    BOOST_TEST(peer->names()[0] == "alice@example.org");
    BOOST_TEST(peer->der().size() > 200u);
    BOOST_TEST(!peer->serial_number().empty());
    BOOST_CHECK(peer->not_before() < std::chrono::system_clock::now());
    BOOST_CHECK(peer->not_after() > std::chrono::system_clock::now());
    BOOST_TEST(peer->fingerprint() != peer->key_pin());
    const tls_pair without = co_await test::tls_over_memory(unknown.context, server);
    BOOST_TEST(!without.server.facts().peer);
  }
  {
    const refusal told = co_await test::refused(refused.context, server);
    BOOST_TEST(told.server.is(tls_errc::unknown_authority));
    BOOST_TEST(told.client.is(tls_errc::unknown_authority));
  }
  server.set_client_certificates(tls_client_certificates::required);
  BOOST_TEST(!(co_await test::refused(known.context, server)).server);
  {
    const refusal told = co_await test::refused(unknown.context, server);
    BOOST_TEST(told.server.is(tls_errc::certificate_required));
    BOOST_TEST(contains(told.server.text(), "the client has sent no certificate"));
    BOOST_TEST(told.client.is(tls_errc::certificate_required));
  }
  server.add_revocation_lists(test::make_revocation_list(clients, &alice));
  BOOST_TEST((co_await test::refused(known.context, server)).server.is(tls_errc::revoked));
}

COROUTINE_TEST_CASE(versions) {
  test::trusting_client trusting;
  tls_server_context server(test::identity_of(test::localhost()));
  const tls_pair made = co_await test::tls_over_memory(trusting.context, server);
  BOOST_TEST((made.client.facts().version == tls_version::tls_1_3));
  BOOST_TEST(made.client.facts().cipher.starts_with("TLS_"));
  BOOST_TEST(made.server.facts().server_name == "localhost");
  server.set_min_version(tls_version::tls_1_3);
  trusting.context.set_min_version(tls_version::tls_1_3);
  BOOST_TEST(!(co_await test::refused(trusting.context, server)).client);
}

/// One connection after another. Whether the last one was resumed.
task<bool> resumes(const tls_client_context& client, const tls_server_context& server,
                   std::string host = "localhost") {
  tls_pair made = co_await test::tls_over_memory(client, server, host);
  // A ticket travels with the first data.
  char byte[1];
  co_await made.server.send("!");
  co_await made.client.receive(byte);
  co_return made.client.is_resumed() && made.server.is_resumed();
}

COROUTINE_TEST_CASE(sessions_are_resumed_for_the_same_name) {
  const test::trusting_client trusting;
  tls_server_context server(test::identity_of(test::localhost()));
  BOOST_TEST(!co_await resumes(trusting.context, server));
  for (int i = 0; i != 5; ++i) BOOST_TEST(co_await resumes(trusting.context, server));
  BOOST_TEST(!co_await resumes(trusting.context, server, "127.0.0.1"));
  const test::trusting_client other;
  BOOST_TEST(!co_await resumes(other.context, server));
}

COROUTINE_TEST_CASE(sessions_survive_a_reload_and_end_with_the_trust) {
  test::trusting_client trusting;
  tls_server_context server(test::identity_of(test::localhost()));
  BOOST_TEST(!co_await resumes(trusting.context, server));
  server.reload();
  BOOST_TEST(co_await resumes(trusting.context, server));
  // Other authorities for clients: a session may carry a certificate of the old ones.
  server.add_client_roots(test::root().pem());
  BOOST_TEST(!co_await resumes(trusting.context, server));
  BOOST_TEST(co_await resumes(trusting.context, server));
  trusting.context.add_roots(test::root().pem());
  BOOST_TEST(!co_await resumes(trusting.context, server));
}

COROUTINE_TEST_CASE(sessions_can_be_turned_off) {
  test::trusting_client trusting;
  trusting.context.set_max_sessions(0);
  const tls_server_context server(test::identity_of(test::localhost()));
  for (int i = 0; i != 3; ++i) BOOST_TEST(!co_await resumes(trusting.context, server));
}

COROUTINE_TEST_CASE(the_oldest_sessions_go_first) {
  test::trusting_client trusting;
  trusting.context.set_max_sessions(4);
  const issued_certificate wild = make_certificate({.names = "DNS:*.test.example"}, &test::root());
  const tls_server_context server(test::identity_of(wild));
  for (const char* const host :
       {"a.test.example", "b.test.example", "c.test.example"})  // two tickets each
    BOOST_TEST(!co_await resumes(trusting.context, server, host));
  BOOST_TEST(co_await resumes(trusting.context, server, "c.test.example"));
  BOOST_TEST(!co_await resumes(trusting.context, server, "a.test.example"));
}

COROUTINE_TEST_CASE(a_resumed_client_keeps_its_certificate) {
  test::trusting_client known;
  const issued_certificate alice =
      make_certificate({.subject = "alice", .usage = "clientAuth"}, &test::root());
  known.context.set_certificate(test::identity_of(alice));
  tls_server_context server(test::identity_of(test::localhost()));
  server.add_client_roots(test::root().pem());
  server.set_client_certificates(tls_client_certificates::required);
  BOOST_TEST(!co_await resumes(known.context, server));
  const tls_pair made = co_await test::tls_over_memory(known.context, server);
  BOOST_TEST(made.server.is_resumed());
  BOOST_TEST(made.server.facts().peer->subject() == "CN=alice");
}

COROUTINE_TEST_CASE(reload_reads_the_files_and_keeps_the_old_ones_if_they_are_bad) {
  const issued_certificate old = for_name("old");
  const temporary_file chain(old.pem());
  const temporary_file key(old.key_pem());
  tls_server_context server(tls_identity::from_files(chain.path(), key.path()));
  tls_client_context any(cosock::tls_roots::none);
  any.dangerously_disable_verification();
  tls_pair running = co_await test::tls_over_memory(any, server, "x");

  const issued_certificate young = for_name("young");
  chain.write(young.pem());
  BOOST_CHECK_EXCEPTION(server.reload(), cosock::tls_error, test::is(tls_errc::key_mismatch));
  BOOST_TEST(co_await shown(server, "x") == "CN=old");
  chain.write("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n");
  BOOST_CHECK_EXCEPTION(server.reload(), cosock::tls_error, test::is(tls_errc::invalid_file));
  chain.write("");
  try {
    server.reload();
    BOOST_ERROR("an empty file was read");
  } catch (const cosock::tls_error& e) {
    BOOST_TEST(contains(e.what(), chain.path()), e.what());
  }
  BOOST_TEST(co_await shown(server, "x") == "CN=old");

  chain.write(young.pem());
  key.write(young.key_pem());
  server.reload();
  BOOST_TEST(co_await shown(server, "x") == "CN=young");
  BOOST_TEST(running.client.facts().peer->subject() == "CN=old");
  char byte[1];
  co_await running.server.send("!");
  BOOST_TEST(co_await running.client.receive(byte) == 1u);
}

BOOST_AUTO_TEST_CASE(files_that_are_missing_are_named) {
  try {
    const tls_server_context server(tls_identity::from_files("no such file", "no key"));
    BOOST_ERROR("a missing file was read");
  } catch (const boost::system::system_error& e) {
    BOOST_TEST(e.code() == boost::system::errc::no_such_file_or_directory);
    BOOST_TEST(contains(e.what(), "no key"), e.what());
  }
}

COROUTINE_TEST_CASE(keys_with_passwords) {
  const issued_certificate& leaf = test::localhost();
  const tls_server_context good(
      tls_identity::from_pem(leaf.pem(), leaf.key_pem("secret"), "secret"));
  const auto bad = [&](const std::string& password) {
    return [&, password] {
      const tls_server_context c(
          tls_identity::from_pem(leaf.pem(), leaf.key_pem("secret"), password));
    };
  };
  BOOST_CHECK_EXCEPTION(bad("")(), cosock::tls_error, test::is(tls_errc::invalid_file));
  BOOST_CHECK_EXCEPTION(bad("wrong")(), cosock::tls_error, test::is(tls_errc::invalid_file));
  const test::trusting_client trusting;
  BOOST_TEST(!(co_await test::refused(trusting.context, good)).client);
}

COROUTINE_TEST_CASE(archives_of_pkcs12) {
  const issued_certificate between = test::make_authority("intermediate", &test::root());
  const issued_certificate leaf = make_certificate({}, &between);
  STACK_OF(X509)* const chain = sk_X509_new_null();
  sk_X509_push(chain, between.certificate.get());
  PKCS12* const archive =
      PKCS12_create("secret", "name", leaf.key.get(), leaf.certificate.get(), chain, 0, 0, 0, 0, 0);
  const std::string data = issued_certificate::text([&](BIO* to) { i2d_PKCS12_bio(to, archive); });
  PKCS12_free(archive);
  sk_X509_free(chain);
  const temporary_file stored(data);
  const test::trusting_client trusting;
  const tls_server_context memory(tls_identity::from_pkcs12(data, "secret"));
  const tls_server_context on_disk(tls_identity::from_pkcs12_file(stored.path(), "secret"));
  for (const tls_server_context* const server : {&memory, &on_disk})
    BOOST_TEST(!(co_await test::refused(trusting.context, *server)).client);
  const auto bad = [](const std::string& text, const char* password) {
    const tls_server_context c(tls_identity::from_pkcs12(text, password));
  };
  BOOST_CHECK_EXCEPTION(bad(data, "wrong"), cosock::tls_error, test::is(tls_errc::invalid_file));
  BOOST_CHECK_EXCEPTION(bad("nonsense", ""), cosock::tls_error, test::is(tls_errc::invalid_file));
}

COROUTINE_TEST_CASE(a_key_log_is_written_only_if_asked_for) {
  const temporary_file log;
  test::trusting_client trusting;
  tls_server_context server(test::identity_of(test::localhost()));
  BOOST_TEST(co_await resumes(trusting.context, server) == false);
  trusting.context.set_key_log_file(log.path());
  BOOST_TEST(co_await resumes(trusting.context, server) == false);
  BOOST_TEST(contains(log.read(), "CLIENT_HANDSHAKE_TRAFFIC_SECRET "));
  const std::size_t before = log.read().size();
  server.set_key_log_file(log.path());
  BOOST_TEST(co_await resumes(trusting.context, server));
  BOOST_TEST(log.read().size() > before);
  BOOST_CHECK_THROW(server.set_key_log_file("/no/such/folder/x"), boost::system::system_error);
}

}  // namespace
