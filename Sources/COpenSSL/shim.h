// OpenSSL's libcrypto for Swift (SHA-256, random bytes, constant-time comparison).
#pragma once
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
