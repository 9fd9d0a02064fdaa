#include "test_key.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <cstdlib>

#include "image/base64.h"
#include "image/digest.h"
#include "image/signature.h"

namespace image {
namespace {

EVP_PKEY* Generate(TestKey::Kind kind) {
  switch (kind) {
    case TestKey::Kind::kP256:
      return EVP_EC_gen("P-256");
    case TestKey::Kind::kP384:
      return EVP_EC_gen("P-384");
    case TestKey::Kind::kSecp256k1:
      return EVP_EC_gen("secp256k1");
    case TestKey::Kind::kRsa:
      return EVP_RSA_gen(2048);
    case TestKey::Kind::kRsa1024:
      return EVP_RSA_gen(1024);
    case TestKey::Kind::kEd25519:
      break;
  }
  return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
}

const std::string kBundleType = "application/vnd.dev.sigstore.bundle.v0.3+json";
const nlohmann::json kMaterial = {{"publicKey", {{"hint", "a key"}}}, {"tlogEntries", nlohmann::json::array()}};

}  // namespace

TestKey::TestKey(Kind kind) : kind_(kind), key_(Generate(kind), &EVP_PKEY_free) {
  if (!key_) std::abort();
}

std::string TestKey::Public() const {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), &BIO_free);
  if (PEM_write_bio_PUBKEY(bio.get(), key_.get()) != 1) std::abort();
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

std::string TestKey::Sign(const std::string& message, const EVP_MD* hash) const {
  if (hash == nullptr && kind_ != Kind::kEd25519) hash = EVP_sha256();
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  std::string out(1024, '\0');
  size_t size = out.size();
  if (EVP_DigestSignInit(context.get(), nullptr, hash, nullptr, key_.get()) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                     reinterpret_cast<const unsigned char*>(message.data()), message.size()) != 1) {
    std::abort();
  }
  out.resize(size);
  return out;
}

std::string SimpleSigning(const std::string& manifest_digest, const std::string& reference) {
  // As cosign writes it, byte for byte.
  return R"({"critical":{"identity":{"docker-reference":")" + reference + R"("},"image":{"docker-manifest-digest":")" +
         manifest_digest + R"("},"type":"cosign container image signature"},"optional":null})";
}

std::string SignatureManifest(const std::vector<SignedPayload>& payloads) {
  nlohmann::json layers = nlohmann::json::array();
  for (const SignedPayload& each : payloads) {
    layers.push_back({{"mediaType", kSimpleSigningType},
                      {"digest", Sha256(each.payload)},
                      {"size", each.payload.size()},
                      {"annotations", {{kSimpleSigningAnnotation, EncodeBase64(each.signature)}}}});
  }
  const std::string config = "{}";
  return nlohmann::json{{"schemaVersion", 2},
                        {"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                        {"config",
                         {{"mediaType", "application/vnd.oci.image.config.v1+json"},
                          {"digest", Sha256(config)},
                          {"size", config.size()}}},
                        {"layers", layers}}
      .dump();
}

nlohmann::json SignStatement(const std::string& manifest_digest) {
  return {{"_type", "https://in-toto.io/Statement/v1"},
          {"subject", {{{"digest", {{"sha256", manifest_digest.substr(7)}}}}}},
          {"predicateType", "https://sigstore.dev/cosign/sign/v1"},
          {"predicate", nlohmann::json::object()}};
}

nlohmann::json StatementBundle(const std::string& statement, const TestKey& key) {
  const std::string type = "application/vnd.in-toto+json";
  const std::string signed_bytes =
      "DSSEv1 " + std::to_string(type.size()) + " " + type + " " + std::to_string(statement.size()) + " " + statement;
  return {{"mediaType", kBundleType},
          {"verificationMaterial", kMaterial},
          {"dsseEnvelope",
           {{"payload", EncodeBase64(statement)},
            {"payloadType", type},
            {"signatures", {{{"sig", EncodeBase64(key.Sign(signed_bytes))}}}}}}};
}

nlohmann::json MessageBundle(const std::string& message, const TestKey& key) {
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(message.data(), message.size(), hash, &size, EVP_sha256(), nullptr);
  return {
      {"mediaType", kBundleType},
      {"verificationMaterial", kMaterial},
      {"messageSignature",
       {{"messageDigest", {{"algorithm", "SHA2_256"}, {"digest", EncodeBase64({reinterpret_cast<char*>(hash), size})}}},
        {"signature", EncodeBase64(key.Sign(message))}}}};
}

}  // namespace image
