// The program init, from the bundle to the running container, with this test in the place of the service manager.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/files.h"
#include "base/message.h"
#include "base/text.h"
#include "nspawn/capabilities.h"
#include "nspawn/console.h"
#include "nspawn/process_spec.h"
#include "nspawn/seccomp.h"
#include "nspawn/start_status.h"
#include "temporary_directory.h"

namespace nspawn {
namespace {

namespace fs = std::filesystem;
using base::Code;

class Init : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "init needs root";
    // A PID namespace whose first process is one of this test's: init takes the mount namespace of that for the host's.
    own_pid_namespace_.reset(::open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(::unshare(CLONE_NEWPID), 0);
    first_ = ::fork();
    if (first_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      while (true) ::pause();
    }
    bundle_ = directory_.path() + "/bundle";
    fs::create_directories(bundle_ + "/rootfs");
    fs::create_directories(bundle_ + "/run");
    directory_.Write("bundle/init", "");
    for (const char* fifo : {"/stdout", "/stderr"}) {
      ASSERT_EQ(::mkfifo((bundle_ + fifo).c_str(), 0600), 0);
    }
    output_.reset(::open((bundle_ + "/stdout").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    error_.reset(::open((bundle_ + "/stderr").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    ASSERT_NO_FATAL_FAILURE(Listen());

    // A shell and what it needs, as two layers.
    fs::create_directories(directory_.path() + "/layers/upper");
    fs::create_directories(directory_.path() + "/layers/work");
    for (const char* file : {"/bin/sh", "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"}) {
      const std::string copy = directory_.path() + "/layers/first" + file;
      fs::create_directories(fs::path(copy).parent_path());
      fs::copy_file(file, copy);
    }
    directory_.Write("layers/first/etc/passwd", "root:x:0:0::/root:\nweb:x:1000:1000::/home/web:\n");
    directory_.Write("layers/first/etc/name", "first");
    directory_.Write("layers/second/etc/name", "second");
    spec_.layer_directories = {directory_.path() + "/layers/first", directory_.path() + "/layers/second"};
    spec_.upper_directory = directory_.path() + "/layers/upper";
    spec_.work_directory = directory_.path() + "/layers/work";
    spec_.capabilities.bounding = spec_.capabilities.permitted = kDefaultCapabilities;
    spec_.environment = {"PATH=/bin"};
  }

  void TearDown() override {
    if (first_ <= 0) return;
    ::kill(first_, SIGKILL);
    ::waitpid(first_, nullptr, 0);
    EXPECT_EQ(::setns(own_pid_namespace_.get(), CLONE_NEWPID), 0);
  }

  void Listen() {
    socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, (bundle_ + "/run/notify").c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }

  // As systemd does for the unit of a container.
  [[noreturn]] void BecomeContainerUnit() const {
    const std::string socket = "NOTIFY_SOCKET=" + bundle_ + "/run/notify";
    const char* const arguments[] = {INIT_PROGRAM, bundle_.c_str(), nullptr};
    const char* const environment[] = {socket.c_str(), nullptr};
    ::execve(INIT_PROGRAM, const_cast<char**>(arguments), const_cast<char**>(environment));
    ::_exit(98);
  }

  // As systemd does for a unit with RootDirectory= and BindReadOnlyPaths=.
  [[noreturn]] void BecomeUnit() const {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!bound_) BecomeContainerUnit();
    const std::string init = bundle_ + "/init";
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_SLAVE | MS_REC, nullptr) != 0 ||
        ::mount(bundle_.c_str(), bundle_.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
        ::mount(INIT_PROGRAM, init.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
        (read_only_ && ::mount(nullptr, init.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) != 0) ||
        ::chdir(bundle_.c_str()) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0 || ::umount2(".", MNT_DETACH) != 0 ||
        ::chdir("/") != 0) {
      ::_exit(99);
    }
    const char* const arguments[] = {"/init", nullptr};
    const char* const environment[] = {"NOTIFY_SOCKET=/run/notify", nullptr};
    ::execve("/init", const_cast<char**>(arguments), const_cast<char**>(environment));
    ::_exit(98);
  }

  // Receives one message, and answers a barrier by closing what comes with it. Nothing when none comes for a while.
  std::optional<std::string> Receive(int milliseconds) {
    pollfd poll_socket{socket_.get(), POLLIN, 0};
    if (::poll(&poll_socket, 1, milliseconds) <= 0) return std::nullopt;
    char text[4096];
    iovec data{text, sizeof text};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t length = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    if (length < 0) return std::nullopt;
    if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
      ::close(fd);
    }
    return std::string(text, static_cast<size_t>(length));
  }

  struct Outcome {
    std::vector<std::string> messages;  // without barriers
    int init_status = 0;
    pid_t pid = 0;  // of the container's process
    int status = 0;
    std::string output, error;
    std::string StatusText() const {
      std::string last;
      for (const std::string& message : messages) {
        const size_t at = message.rfind("STATUS=");
        if (at == 0 || (at != std::string::npos && message[at - 1] == '\n')) last = message.substr(at + 7);
      }
      return last;
    }
  };

  // Runs init and, when that started it, the container to its end.
  Outcome Run(std::vector<std::string> arguments) {
    spec_.arguments = std::move(arguments);
    if (spec_.container_id.empty()) spec_.container_id = "test";
    directory_.Write("bundle/spec", raw_spec_.empty() ? Encode(spec_) : raw_spec_);
    Outcome outcome;
    const size_t children = Children();
    const pid_t init = ::fork();
    if (init == 0) BecomeUnit();
    bool init_ended = false;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!init_ended && std::chrono::steady_clock::now() < deadline) {
      while (const auto message = Receive(20)) {
        if (*message == "BARRIER=1") continue;
        outcome.messages.push_back(*message);
        if (message->compare(0, 8, "MAINPID=") == 0) outcome.pid = std::stoi(message->substr(8));
        if (on_message_) on_message_(outcome);
      }
      init_ended = ::waitpid(init, &outcome.init_status, WNOHANG) == init;
    }
    EXPECT_TRUE(init_ended);
    // Children of this test, though of other numbers here: the process that joined a user namespace for a moment, and
    // the container's.
    if (outcome.pid > 0) {
      if (spec_.user_namespace.kind == NamespaceTarget::Kind::kJoin) {
        EXPECT_GT(::waitpid(-1, nullptr, 0), 0);
      }
      EXPECT_GT(::waitpid(-1, &outcome.status, 0), 0) << "the container's process is no child";
    }
    ReapOthers(children);
    outcome.output = Drain(output_.get());
    outcome.error = Drain(error_.get());
    return outcome;
  }
  // A container's process that init did not announce has ended with it.
  static void ReapOthers(size_t before) {
    for (int tries = 0; tries < 500 && Children() > before; ++tries) {
      if (::waitpid(-1, nullptr, WNOHANG) <= 0) ::usleep(10'000);
    }
    EXPECT_EQ(Children(), before) << "a process is left";
  }
  static size_t Children() {
    const auto children = base::ReadFile("/proc/self/task/" + std::to_string(::gettid()) + "/children", 4096);
    return static_cast<size_t>(std::count(children->begin(), children->end(), ' '));
  }
  Outcome Shell(const std::string& script) { return Run({"sh", "-c", script}); }
  // The output of a script, or why it did not run.
  std::string Output(const std::string& script) {
    const Outcome outcome = Shell(script);
    return outcome.StatusText() == kStartedStatus ? outcome.output + outcome.error : outcome.StatusText();
  }

  static std::string Drain(int fifo) {
    std::string text(1 << 16, '\0');
    const ssize_t length = ::read(fifo, text.data(), text.size());
    text.resize(length > 0 ? static_cast<size_t>(length) : 0);
    return text;
  }
  static size_t MountsOfThisNamespace() {
    return base::Split(*base::ReadFile("/proc/self/mountinfo", 1 << 24), '\n').size();
  }

  TemporaryDirectory directory_;
  std::string bundle_;
  base::UniqueFd own_pid_namespace_, socket_, output_, error_;
  pid_t first_ = 0;
  ProcessSpec spec_;
  std::string raw_spec_;
  bool bound_ = false;  // systemd has made the mount namespace
  bool read_only_ = true;
  std::function<void(const Outcome&)> on_message_;
};

// The daemon's part of a start with a terminal: takes the master, types a line, and reads all there is. A process,
// since there can be no thread where children belong to another PID namespace.
class Console {
 public:
  explicit Console(const std::string& bundle, bool acknowledge = true)
      : listener_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, (bundle + "/" + kConsoleSocket).c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 1), 0);
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    output_.reset(ends[0]);
    const base::UniqueFd write_end(ends[1]);
    // Twice, for it must not be taken for the container's process. It ends with its PID namespace at the latest.
    const pid_t child = ::fork();
    if (child == 0) {
      if (::fork() == 0) Serve(acknowledge, write_end.get());
      ::_exit(0);
    }
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  }
  // What came out of the terminal.
  std::string Finish() const { return *base::ReadAll(output_.get(), 1 << 16, "the terminal's output"); }

 private:
  void Serve(bool acknowledge, int output) const {
    const base::UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const auto message = base::ReceiveMessage(connection.get(), 64);
    if (!message.ok() || !*message || (*message)->text != kTerminalMessage || !acknowledge) return;
    const int master = (*message)->descriptors.front().get();
    if (::write(master, "typed\n", 6) != 6 || !base::SendMessage(connection.get(), kTerminalKept).ok()) return;
    char buffer[4096];
    ssize_t length = 0;
    while ((length = ::read(master, buffer, sizeof buffer)) > 0) {
      if (::write(output, buffer, static_cast<size_t>(length)) != length) return;
    }
  }

  base::UniqueFd listener_;
  base::UniqueFd output_;
};

TEST_F(Init, StartsTheProgramAndIsGone) {
  const Outcome outcome = Shell("echo out; echo err >&2; exit 42");
  EXPECT_EQ(outcome.init_status, 0);
  ASSERT_EQ(outcome.messages.size(), 2U);
  EXPECT_EQ(outcome.messages[0], "MAINPID=" + std::to_string(outcome.pid) + "\nSTATUS=started");
  EXPECT_EQ(outcome.messages[1], "READY=1");
  EXPECT_EQ(WEXITSTATUS(outcome.status), 42);
  EXPECT_EQ(outcome.output, "out\n");
  EXPECT_EQ(outcome.error, "err\n");
}

TEST_F(Init, StartsTheProgramWhereSystemdMadeTheRoot) {
  bound_ = true;
  const Outcome outcome = Shell("echo out; exit 42");
  EXPECT_EQ(WEXITSTATUS(outcome.status), 42);
  EXPECT_EQ(outcome.output, "out\n");
}

TEST_F(Init, LeavesNoMountOnTheHost) {
  const size_t before = MountsOfThisNamespace();
  size_t during = 0;
  on_message_ = [&](const Outcome&) { during = MountsOfThisNamespace(); };
  Shell("exit 0");
  EXPECT_EQ(during, before);
  EXPECT_EQ(MountsOfThisNamespace(), before);
}

TEST_F(Init, TheLastLayerIsOnTopAndWritesGoElsewhere) {
  EXPECT_EQ(Output("read n < /etc/name; echo $n; echo new > /etc/name"), "second\n");
  EXPECT_EQ(*base::ReadFile(directory_.path() + "/layers/upper/etc/name", 100), "new\n");
  EXPECT_EQ(*base::ReadFile(directory_.path() + "/layers/second/etc/name", 100), "second");
}

TEST_F(Init, AHundredAndTwentyLayersFit) {
  spec_.layer_directories.pop_back();
  for (int i = 0; i < 119; ++i) {
    const std::string name = "layers/" + std::to_string(i) + "-with:a,strange\\name-" + std::string(64, 'd');
    directory_.Write(name + "/etc/name", std::to_string(i) + "\n");
    spec_.layer_directories.push_back(directory_.path() + "/" + name);
  }
  EXPECT_EQ(Output("read n < /etc/name; echo $n"), "118\n");
}

TEST_F(Init, TheContainerIsTheFirstProcessAndSeesOnlyItself) {
  EXPECT_EQ(Output("echo $$ /proc/[0-9]*; echo /*; read c < /proc/self/cgroup; cd /; pwd"),
            "1 /proc/1\n/bin /dev /etc /lib /lib64 /proc /sys\n/\n");
}

TEST_F(Init, RunsAsTheUserWithOnlyItsCapabilities) {
  spec_.user.name = "web";
  spec_.no_new_privileges = true;
  spec_.working_directory = "/made/for/it";
  const std::string script =
      "pwd; echo $HOME; while read k v; do case $k in Uid:|Groups:|CapPrm:|CapBnd:|NoNewPrivs:|SigIgn:) echo $k $v;; "
      "esac; done < /proc/self/status; echo again > /dev/stdout";
  EXPECT_EQ(Output(script),
            "/made/for/it\n/home/web\nUid: 1000 1000 1000 1000\nGroups: 1000\nSigIgn: 0000000000000000\n"
            "CapPrm: 0000000000000000\nCapBnd: 00000000a80425fb\nNoNewPrivs: 1\nagain\n");
}

TEST_F(Init, TheSeccompFilterIsInForce) {
  const auto program = DefaultSeccompProgram(kDefaultCapabilities);
  ASSERT_TRUE(program.ok());
  directory_.Write("bundle/seccomp", std::string(program->begin(), program->end()));
  spec_.seccomp = true;
  EXPECT_EQ(Output("while read k v; do case $k in Seccomp:) echo $v;; esac; done < /proc/self/status"), "2\n");
  fs::remove(bundle_ + "/seccomp");
  EXPECT_EQ(Output("true").substr(0, 15), "error NotFound:");
}

TEST_F(Init, AReadOnlyRootIsReadOnly) {
  spec_.read_only_root = true;
  spec_.working_directory = "/work";
  EXPECT_EQ(Output("pwd; echo x 2>/dev/null >/file || echo refused; echo x > /dev/shm/file && echo shared"),
            "/work\nrefused\nshared\n");
}

TEST_F(Init, VolumesAreThere) {
  fs::create_directories(directory_.path() + "/volume");
  directory_.Write("volume/file", "hello\n");
  Mount& writable = spec_.mounts.emplace_back();
  writable.source = directory_.path() + "/volume";
  writable.destination = "/data/deep";
  Mount& read_only = spec_.mounts.emplace_back();
  read_only = spec_.mounts.front();
  read_only.destination = "/fixed";
  read_only.read_only = read_only.recursive_read_only = true;
  EXPECT_EQ(
      Output("read l < /fixed/file; echo $l; echo x 2>/dev/null > /fixed/x || echo refused; echo y > /data/deep/y"),
      "hello\nrefused\n");
  EXPECT_EQ(*base::ReadFile(directory_.path() + "/volume/y", 10), "y\n");
}

TEST_F(Init, ImageVolumesAreTheMergedLayersAndReadOnly) {
  directory_.Write("layers/tools/etc/name", "tools\n");
  directory_.Write("layers/tools/kept", "kept\n");
  directory_.Write("layers/tools/gone", "");
  directory_.Write("layers/newer/etc/name", "newer\n");
  ASSERT_EQ(::mknod((directory_.path() + "/layers/newer/gone").c_str(), S_IFCHR, 0), 0);
  Mount& volume = spec_.mounts.emplace_back();
  volume.source = "example.org/tools:1";
  volume.destination = "/volume";
  volume.image_layers = {directory_.path() + "/layers/tools", directory_.path() + "/layers/newer"};
  spec_.mounts.push_back(volume);
  spec_.mounts.back().destination = "/one";
  spec_.mounts.back().image_layers = {directory_.path() + "/layers/newer"};
  const size_t before = MountsOfThisNamespace();
  EXPECT_EQ(Output("read n < /volume/etc/name; echo $n; echo /volume/*; echo /one/*; "
                   "echo x 2>/dev/null > /volume/etc/name || echo refused; read n < /etc/name; echo $n"),
            "newer\n/volume/etc /volume/kept\n/one/etc\nrefused\nsecond\n");
  EXPECT_EQ(MountsOfThisNamespace(), before);
}

TEST_F(Init, ASubPathOfAnImageVolumeStaysInTheImage) {
  directory_.Write("secret", "of the host\n");
  directory_.Write("layers/tools/etc/name", "tools\n");
  fs::create_symlink("/etc", directory_.path() + "/layers/tools/absolute");
  fs::create_symlink("../../../../../../.." + directory_.path() + "/secret", directory_.path() + "/layers/tools/out");
  fs::create_symlink("loop", directory_.path() + "/layers/tools/loop");
  ASSERT_EQ(::mkfifo((directory_.path() + "/layers/tools/fifo").c_str(), 0600), 0);
  Mount& volume = spec_.mounts.emplace_back();
  volume.source = "tools";
  volume.destination = "/volume";
  volume.image_layers = {directory_.path() + "/layers/tools"};
  const auto with = [&](const char* sub_path, const char* script) {
    volume.image_sub_path = sub_path;
    return Output(script);
  };
  EXPECT_EQ(with("etc", "echo /volume/*"), "/volume/name\n");
  EXPECT_EQ(with("absolute", "echo /volume/*"), "/volume/name\n");
  volume.destination = "/file";
  EXPECT_EQ(with("etc/name", "read n < /file; echo $n; echo x 2>/dev/null > /file || echo refused"),
            "tools\nrefused\n");
  volume.destination = "/volume";
  const std::string start = "mount image tools at /volume: sub path \"";
  EXPECT_EQ(with("out", "true"), "error NotFound: " + start + "out\" of the image does not exist");
  EXPECT_EQ(with("etc/name/x", "true"), "error NotFound: " + start + "etc/name/x\" of the image does not exist");
  EXPECT_EQ(with("loop", "true"),
            "error InvalidArgument: " + start + "loop\" of the image leads through a loop of symbolic links");
  EXPECT_EQ(with("fifo", "true"),
            "error InvalidArgument: " + start + "fifo\" of the image is neither a directory nor a regular file");
}

TEST_F(Init, SaysWhatWentWrongAndLeavesNothing) {
  const auto failure = [&](const std::vector<std::string>& arguments) {
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(WEXITSTATUS(outcome.init_status), 1);
    if (outcome.pid > 0) {
      EXPECT_EQ(WEXITSTATUS(outcome.status), 1);
    }
    for (const std::string& message : outcome.messages) EXPECT_NE(message, "READY=1");
    EXPECT_EQ(outcome.output, "");
    return outcome.StatusText();
  };
  EXPECT_EQ(failure({"nope"}), "error NotFound: exec: \"nope\": executable file not found in $PATH");
  EXPECT_EQ(failure({"/nope"}), "error NotFound: exec: \"/nope\": stat /nope: no such file or directory");
  EXPECT_EQ(failure({"/etc/name"}), "error PermissionDenied: exec: \"/etc/name\": permission denied");
  EXPECT_EQ(failure({}), "error InvalidArgument: no command is given");
  spec_.user.name = "ghost";
  EXPECT_EQ(failure({"sh"}), "error InvalidArgument: unable to find user ghost: no matching entries in passwd file");
  spec_.user.name = "";
  spec_.mounts.emplace_back().source = "/no/such/source";
  spec_.mounts.back().destination = "/x";
  EXPECT_EQ(failure({"sh"}),
            "error NotFound: mount /no/such/source at /x: open /no/such/source: No such file or directory");
  spec_.mounts.clear();
  spec_.pid = {.kind = NamespaceTarget::Kind::kJoin, .pid = 1, .inode = 1};
  EXPECT_EQ(failure({"sh"}), "error FailedPrecondition: the process 1, whose pid namespace is to be joined, is gone");
  spec_.pid = {};
  spec_.terminal = true;
  const auto no_daemon = ParseStartError(failure({"sh"}));
  EXPECT_EQ(no_daemon->code(), Code::kUnavailable);
  EXPECT_NE(no_daemon->message().find("nobody keeps the container's terminal"), std::string::npos);
  spec_.terminal = false;
  spec_.layer_directories.clear();
  EXPECT_EQ(failure({"sh"}), "error InvalidArgument: root filesystem: the image has no layers");
  raw_spec_ = "garbage";
  EXPECT_EQ(ParseStartError(failure({"sh"}))->code(), Code::kInvalidArgument);
}

TEST_F(Init, AnInputComesFromTheFifo) {
  ASSERT_EQ(::mkfifo((bundle_ + "/stdin").c_str(), 0600), 0);
  ::signal(SIGPIPE, SIG_IGN);
  spec_.open_stdin = true;
  spec_.user.name = "web";
  base::UniqueFd reader(::open((bundle_ + "/stdin").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  base::UniqueFd writer(::open((bundle_ + "/stdin").c_str(), O_WRONLY | O_CLOEXEC));
  reader.reset();
  EXPECT_EQ(::write(writer.get(), "one\n", 4), -1) << "nobody reads yet";
  bool ends = true;
  on_message_ = [&](const Outcome& outcome) {
    if (outcome.messages.back() != "READY=1") return;
    EXPECT_EQ(::write(writer.get(), "one\ntwo\n", 8), 8);
    if (ends) writer.reset();
  };
  EXPECT_EQ(Output("read a; read b; echo $a $b; read c || echo end"), "one two\nend\n");
  ends = false;
  reader.reset(::open((bundle_ + "/stdin").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  writer.reset(::open((bundle_ + "/stdin").c_str(), O_WRONLY | O_CLOEXEC));
  reader.reset();
  EXPECT_EQ(Output("read a < /dev/stdin; echo $a"), "one\n");
}

TEST_F(Init, WithoutAnInputThereIsTheNullDevice) {
  EXPECT_EQ(Output("read a || echo end"), "end\n");
}

TEST_F(Init, ATerminalIsMadeInTheContainerAndHandedOver) {
  spec_.terminal = true;
  spec_.user.name = "web";
  Console console(bundle_);
  const Outcome outcome = Shell(
      "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo $TERM /dev/pts/*; echo tty > /dev/tty; echo console > /dev/console; "
      "read a; echo got $a; exit 4");
  EXPECT_EQ(outcome.StatusText(), kStartedStatus);
  // The echo of what is typed may come before the program's own output or between it.
  const std::string shown = console.Finish();
  const auto lines = base::Split(shown, '\n');
  EXPECT_EQ(std::multiset<std::string>(lines.begin(), lines.end()),
            (std::multiset<std::string>{"typed\r", "xterm /dev/pts/0 /dev/pts/ptmx\r", "tty\r", "console\r",
                                        "got typed\r", ""}));
  EXPECT_EQ(WEXITSTATUS(outcome.status), 4);
  EXPECT_EQ(outcome.output, "");
}

TEST_F(Init, WithoutAnAnswerFromTheDaemonTheProgramIsNotRun) {
  spec_.terminal = true;
  Console console(bundle_, /*acknowledge=*/false);
  const Outcome outcome = Shell("echo it runs");
  const auto error = ParseStartError(outcome.StatusText());
  ASSERT_TRUE(error) << outcome.StatusText();
  EXPECT_EQ(error->code(), Code::kUnavailable);
  EXPECT_EQ(console.Finish(), "");
}

TEST_F(Init, RefusesToRunWhereTheContainerCouldWriteToIt) {
  bound_ = true;
  read_only_ = false;
  const Outcome outcome = Shell("true");
  EXPECT_EQ(WEXITSTATUS(outcome.init_status), 1);
  EXPECT_EQ(outcome.StatusText(),
            "error FailedPrecondition: the program must lie on a read-only mount, out of the containers' reach");
}

TEST_F(Init, WritesWhomTheProgramRunsAs) {
  spec_.user.uid = 4711;
  spec_.user.gid = 4712;
  spec_.user.supplementary_groups = {4713};
  EXPECT_EQ(Output("echo hello"), "hello\n");
  EXPECT_EQ(*base::ReadFile(bundle_ + "/user", 100), "4711 4712 4712 4713\n");
}

TEST_F(Init, TheProgramOfInitCannotBeWrittenToFromInside) {
  EXPECT_EQ(Output("exec 3</proc/self/exe; echo hello; echo x 2>/dev/null > /init || true"), "hello\n");
  // What is executed is init itself.
  const Outcome outcome = Run({"/proc/self/exe"});
  EXPECT_EQ(outcome.StatusText(), kStartedStatus);
  EXPECT_NE(outcome.error.find("there is no $NOTIFY_SOCKET"), std::string::npos) << outcome.error;
}

// The number that a process of this test has in the PID namespace that init runs in.
int NumberInside(pid_t pid) {
  const std::string status = *base::ReadFile("/proc/" + std::to_string(pid) + "/status", 10000);
  const size_t line = status.find("NSpid:");
  return std::stoi(status.substr(status.find_last_of('\t', status.find('\n', line))));
}

uint64_t NamespaceInode(pid_t pid, const std::string& kind) {
  struct stat info {};
  EXPECT_EQ(::stat(("/proc/" + std::to_string(pid) + "/ns/" + kind).c_str(), &info), 0);
  return info.st_ino;
}

TEST_F(Init, JoinsAUserNamespaceThatMapsTheLayers) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the thread sanitizer's own thread keeps a process from leaving its user namespace";
#endif
  const pid_t pod = ::fork();
  if (pod == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC) != 0) ::_exit(1);
    (void)base::WriteFileAtomic(directory_.path() + "/made", "");
    while (true) ::pause();
  }
  while (!fs::exists(directory_.path() + "/made")) ::usleep(1000);
  for (const char* map : {"/uid_map", "/gid_map"}) {
    const base::UniqueFd file(::open(("/proc/" + std::to_string(pod) + map).c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_TRUE(base::WriteAll(file.get(), "0 200000 65536\n").ok());
  }
  const auto join = [&](const char* kind) {
    return NamespaceTarget{NamespaceTarget::Kind::kJoin, NumberInside(pod), NamespaceInode(pod, kind)};
  };
  ASSERT_EQ(::chown((directory_.path() + "/layers/second/etc/name").c_str(), 1000, 1000), 0);
  ASSERT_EQ(::chown(spec_.upper_directory.c_str(), 200000, 200000), 0);
  fs::create_directories(directory_.path() + "/volume");
  ASSERT_EQ(::chown((directory_.path() + "/volume").c_str(), 1000, 1000), 0);
  spec_.user_namespace = join("user");
  spec_.uts = join("uts");
  spec_.ipc = join("ipc");
  spec_.uid_mappings = spec_.gid_mappings = {{200000, 0, 65536}};
  spec_.user.name = "web";
  spec_.working_directory = "/made/for/it";
  Mount volume;
  volume.source = directory_.path() + "/volume";
  volume.destination = "/volume";
  volume.uid_mappings = volume.gid_mappings = spec_.uid_mappings;
  spec_.mounts = {volume, volume};
  spec_.mounts.back().destination = "/other";
  spec_.mounts.back().uid_mappings = spec_.mounts.back().gid_mappings = {{200500, 1000, 1}};
  spec_.mounts.push_back(volume);
  spec_.mounts.back().destination = "/plain";
  spec_.mounts.back().uid_mappings = spec_.mounts.back().gid_mappings = {};
  EXPECT_EQ(Output("read a b c < /proc/self/uid_map; echo $$ $a $b $c; [ -O /etc/name ] && echo mine; "
                   "[ -O /volume ] && echo mapped; [ -O /other ] || echo otherwise; [ -O /plain ] || echo plain; "
                   "echo new > /etc/name; echo x > /volume/file; echo x 2>/dev/null > /plain/x || echo refused; "
                   "echo again > /dev/stderr; pwd"),
            "1 0 200000 65536\nmine\nmapped\notherwise\nplain\nrefused\n/made/for/it\nagain\n");
  struct stat info {};
  ASSERT_EQ(::stat((spec_.upper_directory + "/etc/name").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 201000U);
  ASSERT_EQ(::stat((spec_.upper_directory + "/made").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 200000U);
  ASSERT_EQ(::stat((directory_.path() + "/volume/file").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 1000U);
  EXPECT_EQ(*base::ReadFile(bundle_ + "/user", 100), "1000 1000 1000\n");

  spec_.user.name = "70000";
  EXPECT_EQ(Output("true"), "error InvalidArgument: user 70000 lies outside of what the pod's user namespace maps");
  ::kill(pod, SIGKILL);
  ::waitpid(pod, nullptr, 0);
}

TEST_F(Init, AFileSystemThatCannotMapIdsIsNamed) {
  spec_.mounts.emplace_back().source = "/sys";
  spec_.mounts.back().destination = "/x";
  spec_.mounts.back().uid_mappings = spec_.mounts.back().gid_mappings = {{1000, 0, 1}};
  EXPECT_EQ(Output("true"),
            "error FailedPrecondition: mount /sys at /x: its file system (sysfs) does not support id-mapped mounts on "
            "this kernel");
}

TEST_F(Init, JoinsTheNamespacesOfAnotherProcess) {
  const pid_t pod = ::fork();
  if (pod == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC) != 0 || ::sethostname("pod-name", 8) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr) != 0 ||
        ::mount("tmpfs", "/dev/shm", "tmpfs", 0, nullptr) != 0) {
      ::_exit(1);
    }
    (void)base::WriteFileAtomic("/dev/shm/shared", "from the pod\n");
    (void)base::WriteFileAtomic(directory_.path() + "/made", "");
    while (true) ::pause();
  }
  while (!fs::exists(directory_.path() + "/made")) ::usleep(1000);
  const int number = NumberInside(pod);
  spec_.uts = {.kind = NamespaceTarget::Kind::kJoin, .pid = number, .inode = NamespaceInode(pod, "uts")};
  spec_.ipc = {.kind = NamespaceTarget::Kind::kJoin, .pid = number, .inode = NamespaceInode(pod, "ipc")};
  spec_.shared_memory = spec_.ipc;
  spec_.sysctls = {{"kernel.shm_rmid_forced", "1"}};
  EXPECT_EQ(Output("read n < /proc/sys/kernel/hostname; echo $n; read l < /dev/shm/shared; echo $l; read r < "
                   "/proc/sys/kernel/shm_rmid_forced; echo $r"),
            "pod-name\nfrom the pod\n1\n");
  EXPECT_EQ(*base::ReadFile("/proc/sys/kernel/shm_rmid_forced", 10), "0\n") << "it reached the host";
  ::kill(pod, SIGKILL);
  ::waitpid(pod, nullptr, 0);
}

}  // namespace
}  // namespace nspawn
