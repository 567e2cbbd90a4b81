/* SPDX-License-Identifier: MIT */
/* OpenSSL's digests, which need memory. */
#include "injection.h"

#include <openssl/evp.h>

INJECT(EVP_MD_CTX *, EVP_MD_CTX_new, (void), (), NULL)
INJECT(int, EVP_DigestInit_ex, (EVP_MD_CTX * digest, const EVP_MD *type, ENGINE *engine),
       (digest, type, engine), 0)
INJECT(int, EVP_DigestUpdate, (EVP_MD_CTX * digest, const void *data, size_t len),
       (digest, data, len), 0)
INJECT(int, EVP_DigestFinal_ex, (EVP_MD_CTX * digest, unsigned char *out, unsigned *len),
       (digest, out, len), 0)
