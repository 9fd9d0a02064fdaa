#include "image/importer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <optional>

#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "image/json.h"

namespace image {
namespace {

using base::Code;
using base::ErrnoError;
using base::Status;

constexpr size_t kMostMemoryBytes = size_t{16} << 20;

// The kernel grants a read lease only where nobody has the file open for writing (fcntl(2)).
bool IsBeingWritten(const std::string& path) {
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return false;
  if (::fcntl(fd.get(), F_SETLEASE, F_RDLCK) != 0) return errno == EAGAIN;
  ::fcntl(fd.get(), F_SETLEASE, F_UNLCK);
  return false;
}

}  // namespace

Importer::Importer(std::string directory, std::string memory, Import import)
    : directory_(std::move(directory)), memory_(std::move(memory)), import_(std::move(import)) {}

Importer::~Importer() {
  stop_.request_stop();
  if (wake_) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t put = ::write(wake_.get(), &one, sizeof one);
  }
}

Status Importer::Watch() {
  RETURN_IF_ERROR(base::MakeDirectories(directory_));
  wake_.reset(::eventfd(0, EFD_CLOEXEC));
  watch_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!wake_ || !watch_) return ErrnoError("watch " + directory_);
  if (::inotify_add_watch(watch_.get(), directory_.c_str(), IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR) < 0) {
    return ErrnoError("watch " + directory_);
  }
  return base::Ok();
}

void Importer::Start() {
  // The watch first, so that nothing that appears during the first import is missed.
  if (const Status watched = Watch(); !watched.ok()) {
    base::Log(base::LogLevel::kError, "image import: no archive is imported: " + watched.error().message());
    return;
  }
  ReadMemory();
  ImportAll();
  thread_ = std::jthread([this] { Run(stop_.get_token()); });
}

void Importer::ReadMemory() {
  const auto text = base::ReadFile(memory_, kMostMemoryBytes);
  if (!text.ok()) return;
  const auto document = ParseObject(*text, memory_);
  if (!document.ok()) return;
  for (const auto& [name, entry] : document->items()) {
    const Json* modified = entry.is_object() && entry.contains("modified") ? &entry["modified"] : nullptr;
    if (modified == nullptr || !modified->is_number_integer()) continue;
    done_[name] = {modified->get<int64_t>(), UnsignedAt(entry, "size").value_or(0)};
  }
}

void Importer::WriteMemory() {
  Json document = Json::object();
  for (const auto& [name, identity] : done_) {
    document[name] = {{"modified", identity.modified_ns}, {"size", identity.size}};
  }
  if (const Status written = base::WriteFileDurable(memory_, Dump(document)); !written.ok()) {
    base::Log(base::LogLevel::kWarning, "image import: " + written.error().message());
  }
}

void Importer::ImportAll() {
  const auto names = base::ListDirectory(directory_);
  if (!names.ok()) {
    base::Log(base::LogLevel::kError, "image import: " + names.error().message());
    return;
  }
  std::erase_if(done_, [&](const auto& known) {
    struct stat info {};
    return ::stat((directory_ + "/" + known.first).c_str(), &info) != 0;
  });
  for (const std::string& name : *names) ImportOne(name);
}

void Importer::ImportOne(const std::string& name) {
  if (name.empty() || name.front() == '.' || stop_.stop_requested()) return;
  const std::string path = directory_ + "/" + name;
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return;
  if (S_ISDIR(info.st_mode)) {
    // What a layout holds is in its index, which is what changes with it.
    if (::stat((path + "/index.json").c_str(), &info) != 0) return;
  } else if (!S_ISREG(info.st_mode) || IsBeingWritten(path)) {
    return;
  }
  const Identity identity{int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec,
                          static_cast<uint64_t>(info.st_size)};
  if (const auto known = done_.find(name); known != done_.end() && known->second == identity) return;
  const Status imported = import_(path, stop_.get_token());
  if (!imported.ok()) {
    const Code code = imported.error().code();
    if (code == Code::kCancelled) return;
    base::Log(base::LogLevel::kError, "image import: " + imported.error().message());
    // A full disk is not the archive's fault: it is tried again after a restart.
    if (code == Code::kResourceExhausted) return;
  }
  done_[name] = identity;
  WriteMemory();
}

void Importer::Run(const std::stop_token& stop) {
  alignas(inotify_event) std::array<char, 16384> buffer{};
  while (!stop.stop_requested()) {
    std::array<pollfd, 2> waiting = {{{watch_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
    if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) return;
    if (stop.stop_requested()) return;
    const ssize_t got = ::read(watch_.get(), buffer.data(), buffer.size());
    for (ssize_t at = 0; at < got;) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const std::string name = event.len > 0 ? std::string(buffer.data() + at + sizeof event) : std::string();
      at += static_cast<ssize_t>(sizeof event + event.len);
      if ((event.mask & IN_Q_OVERFLOW) != 0) {
        ImportAll();
      } else {
        ImportOne(name);
      }
    }
  }
}

}  // namespace image
