// OpenSSL for Swift: libcrypto (SHA-256, random bytes, constant-time comparison) and libssl (TLS of the public port).
#pragma once
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

// SHA256_Init, _Update and _Final are deprecated since OpenSSL 3.0 in favour of EVP, whose digests cost an allocation or a
// look-up each: 72 ns against 120 to 340 ns for the hundred bytes of an event id. They are part of OpenSSL 1.1 to 3.x.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"
static inline int smsbridge_sha256(SHA256_CTX *context, const void *bytes, size_t count, unsigned char *digest) {
    return SHA256_Init(context) && SHA256_Update(context, bytes, count) && SHA256_Final(digest, context);
}

// The steps one by one, for a digest of pieces (HMAC).
static inline int smsbridge_sha256_init(SHA256_CTX *context) { return SHA256_Init(context); }
static inline int smsbridge_sha256_update(SHA256_CTX *context, const void *bytes, size_t count) {
    return SHA256_Update(context, bytes, count);
}
static inline int smsbridge_sha256_final(SHA256_CTX *context, unsigned char *digest) {
    return SHA256_Final(digest, context);
}
#pragma clang diagnostic pop

// What of libssl is a macro.

// The newest when `most` is 0.
static inline int smsbridge_tls_set_versions(SSL_CTX *context, int least, int most) {
    return SSL_CTX_set_min_proto_version(context, least) && SSL_CTX_set_max_proto_version(context, most);
}

static inline void smsbridge_tls_set_options(SSL_CTX *context) {
    SSL_CTX_set_options(
        context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE
                     | SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(
        context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(context, 1);
}

static inline int smsbridge_tls_set_groups(SSL_CTX *context, const char *list) {
    return (int)SSL_CTX_set1_groups_list(context, list);
}

// Takes the certificate over.
static inline int smsbridge_tls_add_chain(SSL_CTX *context, X509 *certificate) {
    return (int)SSL_CTX_add0_chain_cert(context, certificate);
}

static inline int smsbridge_error_reason(unsigned long code) { return ERR_GET_REASON(code); }
static inline int smsbridge_error_library(unsigned long code) { return ERR_GET_LIB(code); }

// A stack of certificates: macros that are generated per type. Null is an empty one.
static inline int smsbridge_certificate_count(const STACK_OF(X509) *stack) { return stack ? sk_X509_num(stack) : 0; }
static inline X509 *smsbridge_certificate(const STACK_OF(X509) *stack, int index) { return sk_X509_value(stack, index); }
static inline void smsbridge_free_certificates(STACK_OF(X509) *stack) { sk_X509_pop_free(stack, X509_free); }

// A name as RFC 2253 writes it; the flags are a macro.
static inline int smsbridge_print_name(BIO *output, const X509_NAME *name) {
    return X509_NAME_print_ex(output, name, 0, XN_FLAG_RFC2253);
}
