#include "image/digest.h"

#include <cstdlib>

#include "base/text.h"

namespace image {
namespace {

// SHA-2 cannot fail in a sound OpenSSL: without it no content could be trusted.
void Require(bool good) {
  if (!good) std::abort();
}

}  // namespace

bool IsDigest(std::string_view text) {
  const std::string_view algorithm = DigestAlgorithm(text);
  const std::string_view hex = DigestHex(text);
  const size_t length = algorithm == "sha256" ? 64 : algorithm == "sha512" ? 128 : 0;
  return length != 0 && hex.size() == length && hex.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string_view DigestAlgorithm(std::string_view digest) {
  return digest.substr(0, digest.find(':'));
}

std::string_view DigestHex(std::string_view digest) {
  const size_t colon = digest.find(':');
  return colon == std::string_view::npos ? std::string_view() : digest.substr(colon + 1);
}

Hasher::Hasher(std::string_view algorithm) : algorithm_(algorithm), context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
  Require(context_ != nullptr);
  Require(EVP_DigestInit_ex(context_.get(), algorithm == "sha512" ? EVP_sha512() : EVP_sha256(), nullptr) == 1);
}

void Hasher::Update(std::string_view bytes) {
  Require(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

std::string Hasher::Finish() {
  std::string raw(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  Require(EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(raw.data()), &size) == 1);
  raw.resize(size);
  return algorithm_ + ":" + base::Hex(raw);
}

std::string Sha256(std::string_view content) {
  Hasher hasher("sha256");
  hasher.Update(content);
  return hasher.Finish();
}

BlobVerifier::BlobVerifier(std::string digest, uint64_t size)
    : digest_(std::move(digest)), size_(size), hasher_(DigestAlgorithm(digest_)) {}

base::Status BlobVerifier::Update(std::string_view bytes) {
  if (bytes.size() > size_ - received_) {
    return base::Error(base::Code::kDataLoss, "longer than the " + std::to_string(size_) + " bytes that were stated");
  }
  received_ += bytes.size();
  hasher_.Update(bytes);
  return base::Ok();
}

base::Status BlobVerifier::Finish() {
  if (received_ != size_) {
    return base::Error(base::Code::kDataLoss, "truncated: " + std::to_string(received_) + " of the " +
                                                  std::to_string(size_) + " bytes that were stated");
  }
  const std::string actual = hasher_.Finish();
  if (actual != digest_) {
    return base::Error(base::Code::kDataLoss, "wrong digest: the content has " + actual + ", not " + digest_);
  }
  return base::Ok();
}

}  // namespace image
