// Content digests as in the OCI image specification: "algorithm:hex".
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace image {

// Whether `text` is a digest of an algorithm that we can check: sha256 or sha512 with lower-case digits of full length.
bool IsDigest(std::string_view text);

// The part of a digest before or after its colon.
std::string_view DigestAlgorithm(std::string_view digest);
std::string_view DigestHex(std::string_view digest);

// Computes a digest piece by piece.
class Hasher {
 public:
  // `algorithm` is "sha256" or "sha512".
  explicit Hasher(std::string_view algorithm);
  void Update(std::string_view bytes);
  // The digest of all bytes given so far; call it once.
  std::string Finish();

 private:
  std::string algorithm_;
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

std::string Sha256(std::string_view content);

// Checks a stream of bytes against the size and digest that its descriptor states.
class BlobVerifier {
 public:
  BlobVerifier(std::string digest, uint64_t size);
  // kDataLoss as soon as there are more bytes than stated.
  base::Status Update(std::string_view bytes);
  // kDataLoss if bytes are missing or the digest differs.
  base::Status Finish();
  uint64_t received() const { return received_; }

 private:
  std::string digest_;
  uint64_t size_;
  uint64_t received_ = 0;
  Hasher hasher_;
};

}  // namespace image
