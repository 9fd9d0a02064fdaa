// The socket: who may connect, and that calls end with their client.

#include "cri/server.h"

#include <grp.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fakes.h"

namespace cri {
namespace {

class ServerTest : public testing::Test {
 protected:
  void Start(std::optional<gid_t> group = std::nullopt) {
    auto started = Server::Start({Socket(), group}, *node_.service, images_, store_);
    ASSERT_TRUE(started.ok()) << started.error().message();
    server_ = *std::move(started);
  }
  std::string Socket() const { return node_.directory.path() + "/cri.sock"; }
  std::unique_ptr<v1::RuntimeService::Stub> Client() {
    return v1::RuntimeService::NewStub(grpc::CreateChannel("unix://" + Socket(), grpc::InsecureChannelCredentials()));
  }
  static grpc::Status Version(v1::RuntimeService::Stub& client) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
    v1::VersionResponse response;
    return client.Version(&context, {}, &response);
  }

  FakeNode node_;
  ImageService images_{*node_.runtime};
  ImageStoreService store_{node_.store};
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, AnswersOnASocketThatOnlyRootMayOpen) {
  Start();
  struct stat info {};
  ASSERT_EQ(::stat(Socket().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_TRUE(Version(*Client()).ok());
}

TEST_F(ServerTest, AStaleSocketIsReplaced) {
  ASSERT_TRUE(base::WriteFileAtomic(Socket(), "stale").ok());
  Start();
  EXPECT_TRUE(Version(*Client()).ok());
}

// Whether a process of that user and group is served. A bare connection tells: the daemon closes it without a byte,
// where a served one gets HTTP/2 settings. gRPC's client cannot live in a forked child.
bool IsServed(const std::string& socket_path, gid_t group, uid_t user) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgroups(0, nullptr) != 0 || ::setgid(group) != 0 || ::setuid(user) != 0) ::_exit(2);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) ::_exit(3);
    char byte = 0;
    ::_exit(::read(fd, &byte, 1) == 1 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_LE(WEXITSTATUS(status), 1) << "the client could not connect at all";
  return WEXITSTATUS(status) == 0;
}

TEST_F(ServerTest, AProcessOfAnotherUserIsDisconnectedWhateverTheMode) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become another user";
  Start();
  ASSERT_EQ(::chmod(Socket().c_str(), 0666), 0);
  ASSERT_EQ(::chmod(node_.directory.path().c_str(), 0755), 0);
  EXPECT_FALSE(IsServed(Socket(), 65534, 65534));
  EXPECT_TRUE(IsServed(Socket(), 0, 0));
}

TEST_F(ServerTest, MembersOfTheConfiguredGroupAreServed) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become another user";
  Start(gid_t{65533});
  struct stat info {};
  ASSERT_EQ(::stat(Socket().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0660u);
  EXPECT_EQ(info.st_gid, 65533u);
  ASSERT_EQ(::chmod(Socket().c_str(), 0666), 0);
  ASSERT_EQ(::chmod(node_.directory.path().c_str(), 0755), 0);
  EXPECT_TRUE(IsServed(Socket(), 65533, 65534));
  EXPECT_FALSE(IsServed(Socket(), 65534, 65534));
}

TEST_F(ServerTest, ErrorsCarryTheirCodeAndText) {
  Start();
  grpc::ClientContext context;
  v1::ContainerStatusRequest request;
  request.set_container_id("none");
  v1::ContainerStatusResponse response;
  const grpc::Status status = Client()->ContainerStatus(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "container \"none\" not found");
}

TEST_F(ServerTest, APullEndsWhenItsClientGoesAway) {
  Start();
  node_.store.pull_until_cancelled = true;
  auto client =
      v1::ImageService::NewStub(grpc::CreateChannel("unix://" + Socket(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  std::thread canceller([&] {
    while (node_.store.pulls == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    context.TryCancel();
  });
  v1::PullImageRequest request;
  request.mutable_image()->set_image("endless");
  v1::PullImageResponse response;
  EXPECT_EQ(client->PullImage(&context, request, &response).error_code(), grpc::StatusCode::CANCELLED);
  canceller.join();
  server_->Stop(std::chrono::seconds(10));  // waits for the handler, which only the cancellation ends
  EXPECT_EQ(node_.store.pulls_cancelled, 1);
}

}  // namespace
}  // namespace cri
