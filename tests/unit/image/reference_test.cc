#include "image/reference.h"

#include <gtest/gtest.h>

namespace image {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');

TEST(Reference, CompletesShortNamesAsDockerDoes) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"busybox", "docker.io/library/busybox:latest"},
      {"busybox:1.36", "docker.io/library/busybox:1.36"},
      {"team/app", "docker.io/team/app:latest"},
      {"docker.io/busybox", "docker.io/library/busybox:latest"},
      {"index.docker.io/team/app:x", "docker.io/team/app:x"},
      {"localhost/app", "localhost/app:latest"},
      {"localhost:5000/app:x", "localhost:5000/app:x"},
      {"localhost:5000", "docker.io/library/localhost:5000"},
      {"registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"},
      {"Registry/app", "Registry/app:latest"},
      {"127.0.0.1:5000/a/b/c__d-e.f:T_1.2-3", "127.0.0.1:5000/a/b/c__d-e.f:T_1.2-3"},
      {"[::1]:5000/app", "[::1]:5000/app:latest"},
      {"app@" + kDigest, "docker.io/library/app@" + kDigest},
      {"app:tag@" + kDigest, "docker.io/library/app@" + kDigest},
      {"host/app@sha512:" + std::string(128, '0'), "docker.io/host/app@sha512:" + std::string(128, '0')},
  };
  for (const auto& [text, expected] : cases) {
    const auto reference = ParseReference(text);
    ASSERT_TRUE(reference.ok()) << text << ": " << reference.error().message();
    EXPECT_EQ(reference->ToString(), expected);
    // What comes out names the same image again.
    EXPECT_EQ(ParseReference(reference->ToString())->ToString(), expected);
  }
}

TEST(Reference, RefusesWhatIsNone) {
  const std::vector<std::string> cases = {
      "",
      " busybox",
      "busybox ",
      "Busybox",
      "localhost/UPPER",
      "busybox:",
      "busybox:-tag",
      "busybox:" + std::string(129, 'a'),
      "busybox@",
      "busybox@sha256:abc",
      "busybox@sha256:" + std::string(64, 'A'),
      "busybox@md5:" + std::string(32, 'a'),
      "a//b",
      "/a",
      "a/",
      "a/.b",
      "a/b-",
      "a/b..c",
      "a/b___c",
      "../x",
      "a/../b",
      "host.example:99999/app",
      "host.example:0/app",
      "host.example:/app",
      "-host.example/app",
      "http://host.example/app",
      "host.example/a?b",
      "a\nb",
      std::string("a\0b", 3),
      std::string(64, 'a'),
      "h.example/" + std::string(300, 'a'),
      std::string(5000, 'a'),
  };
  for (const std::string& text : cases) {
    const auto reference = ParseReference(text);
    ASSERT_FALSE(reference.ok()) << text;
    EXPECT_EQ(reference.error().code(), base::Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace image
