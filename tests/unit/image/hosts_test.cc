#include "image/hosts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "image/credentials.h"

namespace image {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Hosts : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/hosts-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& name, const std::string& text) const {
    ASSERT_TRUE(base::MakeDirectories(std::filesystem::path(root_ + "/" + name).parent_path()).ok());
    ASSERT_TRUE(base::WriteFileAtomic(root_ + "/" + name, text).ok());
  }
  std::vector<RegistryHost> Load(const std::string& domain) const {
    auto hosts = LoadRegistryHosts(root_, domain);
    EXPECT_TRUE(hosts.ok()) << hosts.error().message();
    return hosts.ok() ? *std::move(hosts) : std::vector<RegistryHost>();
  }
  static std::vector<std::string> Urls(const std::vector<RegistryHost>& hosts) {
    std::vector<std::string> out;
    out.reserve(hosts.size());
    for (const RegistryHost& host : hosts) out.push_back(host.url.ToString());
    return out;
  }
  std::string root_;
};

TEST_F(Hosts, WithoutAFileItIsTheRegistryOverHttps) {
  EXPECT_THAT(Urls(Load("registry.example:5000")), ElementsAre("https://registry.example:5000/v2"));
  EXPECT_THAT(Urls(Load("docker.io")), ElementsAre("https://registry-1.docker.io/v2"));
  EXPECT_THAT(Urls(*LoadRegistryHosts("", "localhost:5000")), ElementsAre("https://localhost:5000/v2"));
  EXPECT_TRUE(Load("docker.io")[0].upstream);
}

TEST_F(Hosts, MirrorsComeInTheOrderOfTheFileAndTheRegistryLast) {
  Write("docker.io/hosts.toml", R"(
server = "https://registry-1.docker.io"
[host."https://z.example"]
  capabilities = ["pull"]
[host."http://a.example:5000/path"]
  skip_verify = true
[host."m.example/v2/sub"]
  override_path = true
  capabilities = ["resolve"]
  header = { X-Key = "value", X-More = ["a", "b"] }
)");
  const auto hosts = Load("docker.io");
  EXPECT_THAT(Urls(hosts), ElementsAre("https://z.example/v2", "http://a.example:5000/path/v2",
                                       "https://m.example/v2/sub", "https://registry-1.docker.io/v2"));
  EXPECT_TRUE(hosts[0].pulls);
  EXPECT_FALSE(hosts[0].resolves);
  EXPECT_TRUE(hosts[1].tls.skip_verify);
  EXPECT_TRUE(hosts[1].resolves);
  EXPECT_FALSE(hosts[2].pulls);
  EXPECT_THAT(hosts[2].headers, ElementsAre("X-Key: value", "X-More: a", "X-More: b"));
  EXPECT_FALSE(hosts[2].upstream);
  EXPECT_TRUE(hosts[3].upstream);
}

TEST_F(Hosts, ARegistryListedAsAHostIsNotAskedAgainOverHttps) {
  Write("127.0.0.1:5000/hosts.toml", "[host.\"http://127.0.0.1:5000\"]\n");
  const auto hosts = Load("127.0.0.1:5000");
  EXPECT_THAT(Urls(hosts), ElementsAre("http://127.0.0.1:5000/v2"));
  EXPECT_TRUE(hosts[0].upstream);
}

TEST_F(Hosts, AServerThatIsListedAsAHostIsAskedOnce) {
  Write("r.example/hosts.toml", R"(
server = "https://r.example"
[host."https://mirror.example"]
[host."https://r.example"]
  skip_verify = true
)");
  auto hosts = Load("r.example");
  EXPECT_THAT(Urls(hosts), ElementsAre("https://mirror.example/v2", "https://r.example/v2"));
  EXPECT_TRUE(hosts[1].tls.skip_verify);
  EXPECT_TRUE(hosts[1].upstream);

  // Under another name than the references have, it is the registry all the same.
  Write("docker.io/hosts.toml", "server = \"https://own.example\"\n[host.\"own.example\"]\n");
  hosts = Load("docker.io");
  EXPECT_THAT(Urls(hosts), ElementsAre("https://own.example/v2"));
  EXPECT_TRUE(hosts[0].upstream);

  // What the host may not be asked for is left to the server.
  Write("r.example/hosts.toml",
        "server = \"https://r.example\"\n[host.\"https://r.example\"]\n  capabilities = [\"pull\"]\n");
  hosts = Load("r.example");
  EXPECT_THAT(Urls(hosts), ElementsAre("https://r.example/v2", "https://r.example/v2"));
  EXPECT_FALSE(hosts[0].resolves);
  EXPECT_TRUE(hosts[1].resolves);
  EXPECT_FALSE(hosts[1].pulls);

  // Another path is another registry.
  Write("r.example/hosts.toml",
        "server = \"https://r.example\"\n[host.\"https://r.example/v2/cache\"]\n  override_path = true\n");
  EXPECT_THAT(Urls(Load("r.example")), ElementsAre("https://r.example/v2/cache", "https://r.example/v2"));
}

TEST_F(Hosts, DefaultIsForHostsWithoutADirectory) {
  Write("_default/hosts.toml", "[host.\"https://mirror.example\"]\n");
  Write("own.example/hosts.toml", "server = \"http://own.example\"\n");
  Write("port.example_5000_/hosts.toml", "server = \"http://port.example:5000\"\n");
  EXPECT_THAT(Urls(Load("any.example")), ElementsAre("https://mirror.example/v2", "https://any.example/v2"));
  EXPECT_THAT(Urls(Load("own.example")), ElementsAre("http://own.example/v2"));
  EXPECT_THAT(Urls(Load("port.example:5000")), ElementsAre("http://port.example:5000/v2"));
}

TEST_F(Hosts, CertificatesAreRelativeToTheFile) {
  Write("r.example/ca.crt", "PEM-1");
  Write("r.example/hosts.toml",
        "server = \"https://r.example\"\nca = [\"ca.crt\"]\nclient = [[\"/abs/client.cert\", \"client.key\"]]\n");
  const auto hosts = Load("r.example");
  EXPECT_EQ(hosts[0].tls.certificate_authorities, "PEM-1\n");
  EXPECT_EQ(hosts[0].tls.client_certificate, "/abs/client.cert");
  EXPECT_EQ(hosts[0].tls.client_key, root_ + "/r.example/client.key");
}

TEST_F(Hosts, ABrokenFileIsNamedWithItsLine) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"server = \"https://r.example\"\nx = = 1\n", "hosts.toml:2"},
      {"server = \"ftp://r.example\"\n", "neither http nor https"},
      {"server = \"https://user:pass@r.example\"\n", "user name or password"},
      {"host = 1\n", "hosts.toml:1"},
      {"ca = \"missing.crt\"\n", "missing.crt"},
      {"capabilities = 1\n", "capabilities"},
      {"[header]\nX = \"a\\r\\nb\"\n", "line break"},
  };
  for (const auto& [text, why] : cases) {
    Write("r.example/hosts.toml", text);
    const auto hosts = LoadRegistryHosts(root_, "r.example");
    ASSERT_FALSE(hosts.ok()) << text;
    EXPECT_EQ(hosts.error().code(), base::Code::kFailedPrecondition);
    EXPECT_THAT(hosts.error().message(), HasSubstr(why));
    EXPECT_THAT(hosts.error().message(), testing::Not(HasSubstr("pass@")));
  }
}

TEST(HostCredentials, GoToTheRegistryOrTheNamedServerAlone) {
  Credentials credentials;
  credentials.username = "user";
  credentials.password = "secret";
  credentials.identity_token = "identity";
  const std::string basic = "dXNlcjpzZWNyZXQ=";
  EXPECT_EQ(CredentialsFor(credentials, "docker.io", "registry-1.docker.io", true).basic, basic);
  EXPECT_EQ(CredentialsFor(credentials, "docker.io", "mirror.example", false).basic, "");
  EXPECT_EQ(CredentialsFor(credentials, "docker.io", "mirror.example", false).identity_token, "");
  credentials.server_address = "https://index.docker.io/v1/";
  EXPECT_EQ(CredentialsFor(credentials, "docker.io", "registry-1.docker.io", true).basic, basic);
  EXPECT_EQ(CredentialsFor(credentials, "quay.io", "quay.io", true).basic, "");
  credentials.server_address = "mirror.example";
  EXPECT_EQ(CredentialsFor(credentials, "docker.io", "mirror.example", false).basic, basic);
  EXPECT_EQ(CredentialsFor(credentials, "docker.io", "registry-1.docker.io", true).basic, "");
  Credentials encoded;
  encoded.auth = "dXNlcjpzZWNyZXQ=\r\nX-Injected: 1";
  EXPECT_EQ(CredentialsFor(encoded, "a.example", "a.example", true).basic.find_first_of("\r\n: "), std::string::npos);
}

TEST(Url, IsParsedAndResolved) {
  const auto base = ParseUrl("HTTPS://Host.Example:443/v2/a?x=1");
  ASSERT_TRUE(base.ok());
  EXPECT_EQ(base->ToString(), "https://host.example/v2/a?x=1");
  EXPECT_EQ(base->ToPrintable(), "https://host.example/v2/a");
  EXPECT_EQ(ParseUrl("/other", &*base)->ToString(), "https://host.example/other");
  EXPECT_EQ(ParseUrl("//elsewhere/x", &*base)->ToString(), "https://elsewhere/x");
  EXPECT_TRUE(ParseUrl("http://[::1]:5000/x").ok());
  for (const char* text : {"", "file:///etc/passwd", "ftp://x/", "https://", "https://a b/", "https://u:p@host/"}) {
    EXPECT_FALSE(ParseUrl(text).ok()) << text;
  }
  const auto with_password = ParseUrl("https://user:hunter2@host/");
  ASSERT_FALSE(with_password.ok());
  EXPECT_THAT(with_password.error().message(), testing::Not(HasSubstr("hunter2")));
}

}  // namespace
}  // namespace image
