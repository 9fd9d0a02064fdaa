#include "image/public_key.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>

#include <array>
#include <climits>
#include <optional>
#include <string>

namespace image {
namespace {

constexpr int kLeastRsaBits = 2048;
// More would only cost time.
constexpr int kMostRsaBits = 16384;
constexpr std::string_view kBegin = "-----BEGIN ";

}  // namespace

base::Result<PublicKey> PublicKey::Parse(std::string_view pem) {
  const size_t begin = pem.find(kBegin);
  if (begin == std::string_view::npos) return base::InvalidArgument("it is no PEM file");
  if (!pem.substr(begin).starts_with("-----BEGIN PUBLIC KEY-----")) {
    return base::InvalidArgument("it holds no public key (\"BEGIN PUBLIC KEY\")");
  }
  if (pem.find(kBegin, begin + 1) != std::string_view::npos) {
    return base::InvalidArgument("it holds more than one key, of which each needs a file of its own");
  }
  if (pem.size() > INT_MAX) return base::InvalidArgument("it is too long");
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
                                                      &BIO_free);
  if (!bio) return base::Error(base::Code::kResourceExhausted, "out of memory");
  std::shared_ptr<EVP_PKEY> key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  ERR_clear_error();
  if (!key) return base::InvalidArgument("its public key is broken");
  switch (EVP_PKEY_get_base_id(key.get())) {
    case EVP_PKEY_ED25519:
      return PublicKey(std::move(key), Kind::kEd25519);
    case EVP_PKEY_RSA: {
      const int bits = EVP_PKEY_get_bits(key.get());
      if (bits >= kLeastRsaBits && bits <= kMostRsaBits) return PublicKey(std::move(key), Kind::kRsa);
      return base::InvalidArgument("its RSA key has " + std::to_string(bits) + " bits; it must have from " +
                                   std::to_string(kLeastRsaBits) + " to " + std::to_string(kMostRsaBits));
    }
    case EVP_PKEY_EC: {
      std::array<char, 80> name{};
      EVP_PKEY_get_group_name(key.get(), name.data(), name.size(), nullptr);
      ERR_clear_error();
      switch (OBJ_txt2nid(name.data())) {
        case NID_X9_62_prime256v1:
          return PublicKey(std::move(key), Kind::kP256);
        case NID_secp384r1:
          return PublicKey(std::move(key), Kind::kP384);
        case NID_secp521r1:
          return PublicKey(std::move(key), Kind::kP521);
        default:
          return base::InvalidArgument("its key is on another curve than P-256, P-384 and P-521");
      }
    }
    default:
      return base::InvalidArgument("its key is of another kind than ECDSA, RSA and Ed25519");
  }
}

bool PublicKey::VerifiesWith(const EVP_MD* hash, std::string_view message, std::string_view signature) const {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  const bool good =
      context && EVP_DigestVerifyInit(context.get(), nullptr, hash, nullptr, key_.get()) == 1 &&
      EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()), signature.size(),
                       reinterpret_cast<const unsigned char*>(message.data()), message.size()) == 1;
  ERR_clear_error();
  return good;
}

bool PublicKey::Verifies(std::string_view message, std::string_view signature) const {
  switch (kind_) {
    case Kind::kEd25519:
      return VerifiesWith(nullptr, message, signature);
    case Kind::kP384:
      // cosign signs with the curve's own hash, containers/image with SHA-256.
      return VerifiesWith(EVP_sha384(), message, signature) || VerifiesWith(EVP_sha256(), message, signature);
    case Kind::kP521:
      return VerifiesWith(EVP_sha512(), message, signature) || VerifiesWith(EVP_sha256(), message, signature);
    case Kind::kP256:
    case Kind::kRsa:
      break;
  }
  return VerifiesWith(EVP_sha256(), message, signature);
}

}  // namespace image
