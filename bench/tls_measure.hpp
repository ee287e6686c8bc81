// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the programs that measure TLS share: the certificate, the command line, and what is measured.
// Both ends are in one process and on one thread:
//
//   round-trips N   N round trips of 64 bytes over one connection, to be counted from outside
//   idle N          bytes of memory for each stream of N connections that have made one round trip
//   bulk N          MiB a second over one connection, N MiB
//   handshakes N    connections a second with a full handshake and one round trip, N in succession
//   resumed N       the same with resumed handshakes
//
// A second is one of processor time, because neither end ever waits: what else runs on the machine then
// counts less.

#include <malloc.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tls {

/// A key and a certificate for localhost, EC P-256, signed by itself.
struct certificate_pem {
  std::string certificate;
  std::string key;
};

inline certificate_pem make_certificate() {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const made = X509_new();
  X509_set_version(made, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made), 1);
  X509_gmtime_adj(X509_getm_notBefore(made), -60);
  X509_gmtime_adj(X509_getm_notAfter(made), 86400);
  X509_set_pubkey(made, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(made, X509_get_subject_name(made));
  X509_EXTENSION* const names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
  X509_add_ext(made, names, -1);
  X509_EXTENSION_free(names);
  X509_sign(made, key, EVP_sha256());
  const auto text = [](auto write) {
    BIO* const bio = BIO_new(BIO_s_mem());
    write(bio);
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    std::string all(data, static_cast<std::size_t>(size));
    BIO_free(bio);
    return all;
  };
  certificate_pem pem;
  pem.certificate = text([&](BIO* to) { PEM_write_bio_X509(to, made); });
  pem.key = text(
      [&](BIO* to) { PEM_write_bio_PrivateKey(to, key, nullptr, nullptr, 0, nullptr, nullptr); });
  X509_free(made);
  EVP_PKEY_free(key);
  return pem;
}

/// The newest session of a client that uses OpenSSL's interface.
inline SSL_SESSION* kept_session = nullptr;

inline void keep_sessions(SSL_CTX* client) {
  SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(client, [](SSL*, SSL_SESSION* session) {
    SSL_SESSION_free(kept_session);
    kept_session = session;
    return 1;
  });
}

inline double processor_time() {
  timespec now = {};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

inline std::size_t bytes_in_use() { return ::mallinfo2().uordblks; }

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "TLS: %s\n", what);
  std::exit(1);
}

/// `Driver` makes the connections of a library, from a certificate. Its functions return when both ends
/// have done it:
///
///   ends connect(bool resume)            with a handshake
///   bool is_resumed(const ends&)
///   void close(ends)                     with close_notify
///   void round_trips(ends&, int count)   64 bytes from the client to the server and back
///   void bulk(ends&, int mebibytes)      from the client to the server
template <class Driver>
class measurement {
 public:
  int run(std::string_view what, int count) {
    if (what == "handshakes" || what == "resumed") {
      handshakes(count, what == "resumed");
    } else if (what == "idle") {
      idle(count);
    } else {
      auto pair = driver_.connect(false);
      const double begin = processor_time();
      if (what == "bulk") {
        driver_.bulk(pair, count);
        print(count, begin);
      } else if (what == "round-trips") {
        driver_.round_trips(pair, count);
      } else {
        return 2;
      }
    }
    return 0;
  }

 private:
  static void print(int count, double begin) {
    std::printf("%.1f\n", count / (processor_time() - begin));
  }

  /// One round trip, because some servers send the tickets with the first data. Returns whether an
  /// earlier session was resumed.
  bool connect_once(bool resume) {
    auto pair = driver_.connect(resume);
    const bool is_resumed = driver_.is_resumed(pair);
    driver_.round_trips(pair, 1);
    driver_.close(std::move(pair));
    return is_resumed;
  }

  void handshakes(int count, bool resume) {
    connect_once(resume);
    const double begin = processor_time();
    for (int i = 0; i != count; ++i)
      if (connect_once(resume) != resume) fail("not the kind of handshake that is measured");
    print(count, begin);
  }

  void idle(int count) {
    connect_once(false);
    std::vector<decltype(driver_.connect(false))> all;
    const std::size_t before = bytes_in_use();
    all.reserve(static_cast<std::size_t>(count));
    for (int i = 0; i != count; ++i) {
      all.push_back(driver_.connect(false));
      driver_.round_trips(all.back(), 1);
    }
    std::printf("%zu\n", (bytes_in_use() - before) / (2 * all.size()));
  }

  Driver driver_{make_certificate()};
};

/// The program.
template <class Driver>
int main(int argc, char** argv) {
  const int count = argc == 3 ? std::atoi(argv[2]) : 0;
  try {
    if (count > 0 && measurement<Driver>().run(argv[1], count) == 0) return 0;
  } catch (const std::exception& e) {
    fail(e.what());
  }
  std::fprintf(stderr, "usage: %s round-trips|idle|bulk|handshakes|resumed N\n", argv[0]);
  return 2;
}

}  // namespace tls
