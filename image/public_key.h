// Public keys that signatures are checked with.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string_view>

#include "base/result.h"

namespace image {

// Thread-safe; copies share the key.
class PublicKey {
 public:
  // Reads a PEM file of one public key ("BEGIN PUBLIC KEY", as `cosign generate-key-pair` and `openssl pkey -pubout`
  // write it): ECDSA on P-256, P-384 or P-521, RSA of at least 2048 bits, or Ed25519. kInvalidArgument for anything
  // else.
  static base::Result<PublicKey> Parse(std::string_view pem);

  // Whether `signature` is this key's over `message`: ECDSA in its DER form over SHA-256, or over the hash that belongs
  // to the curve; RSA with PKCS #1 v1.5 padding over SHA-256; Ed25519 over the message itself.
  bool Verifies(std::string_view message, std::string_view signature) const;

 private:
  enum class Kind { kP256, kP384, kP521, kRsa, kEd25519 };

  PublicKey(std::shared_ptr<EVP_PKEY> key, Kind kind) : key_(std::move(key)), kind_(kind) {}
  bool VerifiesWith(const EVP_MD* hash, std::string_view message, std::string_view signature) const;

  std::shared_ptr<EVP_PKEY> key_;
  Kind kind_;
};

}  // namespace image
