// Keys that sign as cosign does, and signatures in the forms that it writes.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace image {

class TestKey {
 public:
  enum class Kind { kP256, kP384, kRsa, kRsa1024, kEd25519, kSecp256k1 };
  explicit TestKey(Kind kind = Kind::kP256);

  // The public key in PEM.
  std::string Public() const;
  // `hash` is nullptr for SHA-256, or none with Ed25519.
  std::string Sign(const std::string& message, const EVP_MD* hash = nullptr) const;

 private:
  Kind kind_;
  std::shared_ptr<EVP_PKEY> key_;
};

// The payload of simple signing.
std::string SimpleSigning(const std::string& manifest_digest, const std::string& reference);

// A manifest as it lies under "sha256-<digest>.sig", with a layer for each payload and its signature.
struct SignedPayload {
  std::string payload;
  std::string signature;  // raw
};
std::string SignatureManifest(const std::vector<SignedPayload>& payloads);

// The in-toto statement that `cosign sign` puts into a bundle.
nlohmann::json SignStatement(const std::string& manifest_digest);
// The bundle with this statement in a DSSE envelope.
nlohmann::json StatementBundle(const std::string& statement, const TestKey& key);
// The bundle that `cosign sign-blob` makes of a file.
nlohmann::json MessageBundle(const std::string& message, const TestKey& key);

}  // namespace image
