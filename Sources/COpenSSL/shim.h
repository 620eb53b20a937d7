// OpenSSL's libcrypto for Swift (SHA-256, random bytes, constant-time comparison).
#pragma once
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

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
