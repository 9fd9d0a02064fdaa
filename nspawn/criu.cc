#include "nspawn/criu.h"

#include "base/text.h"

namespace nspawn {
namespace {

constexpr size_t kMostErrors = 3;
constexpr size_t kLongestError = 400;

bool IsOctal(char c) {
  return c >= '0' && c <= '7';
}

// The kernel writes blanks and backslashes as "\040" and the like.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && IsOctal(text[i + 1]) && IsOctal(text[i + 2]) &&
        IsOctal(text[i + 3])) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

base::Result<std::vector<MountPoint>> ParseMountTable(std::string_view table) {
  std::vector<MountPoint> mounts;
  for (const std::string_view line : base::Split(table, '\n')) {
    if (line.empty()) continue;
    const std::vector<std::string_view> fields = base::Split(line, ' ');
    // Six fields, any number of optional ones, "-", and the type first of three.
    size_t separator = 6;
    while (separator < fields.size() && fields[separator] != "-") ++separator;
    if (separator + 1 >= fields.size()) {
      return base::Error(base::Code::kDataLoss, "\"" + base::Printable(line, 200) + "\" is no line of a mount table");
    }
    mounts.push_back({Unescape(fields[4]), std::string(fields[separator + 1])});
  }
  return mounts;
}

std::vector<std::string> ExternalMounts(const std::vector<MountPoint>& mounts) {
  std::vector<std::string> points;
  for (const MountPoint& mount : mounts) {
    if (mount.path != "/" && mount.type != "proc") points.push_back(mount.path);
  }
  return points;
}

std::string EncodeRestore(const Restore& restore) {
  std::string out = "directory=" + restore.directory + '\0' + "criu=" + restore.criu + '\0';
  for (const std::string& stream : restore.streams) out += "stream=" + stream + '\0';
  return out;
}

base::Result<Restore> DecodeRestore(std::string_view encoded) {
  Restore restore;
  while (!encoded.empty()) {
    const size_t end = encoded.find('\0');
    const std::string_view entry = encoded.substr(0, end);
    const size_t equals = entry.find('=');
    const std::string_view key = entry.substr(0, equals);
    const std::string value(equals == std::string_view::npos ? "" : entry.substr(equals + 1));
    if (end == std::string_view::npos || equals == std::string_view::npos ||
        (key != "directory" && key != "criu" && key != "stream")) {
      return base::InvalidArgument("restore: \"" + base::Printable(key, 64) + "\" is wrong");
    }
    if (key == "directory") restore.directory = value;
    if (key == "criu") restore.criu = value;
    if (key == "stream") restore.streams.push_back(value);
    encoded.remove_prefix(end + 1);
  }
  if (restore.directory.empty() || restore.criu.empty()) return base::InvalidArgument("restore: it is not complete");
  return restore;
}

std::string CriuFailure(std::string_view log) {
  // "(00.050639)      1: Error (criu/fifo.c:104): Can't open fifo …"
  constexpr std::string_view kMark = "Error (";
  std::string out;
  size_t errors = 0;
  for (const std::string_view line : base::Split(log, '\n')) {
    const size_t mark = line.find(kMark);
    if (mark == std::string_view::npos) continue;
    const size_t text = line.find("): ", mark);
    if (text == std::string_view::npos) continue;
    // Said on every machine where the limit of descriptors may not be raised, and harmless.
    if (line.find("Can't setup RLIMIT_NOFILE") != std::string_view::npos) continue;
    out += (out.empty() ? "" : "; ") + base::Printable(line.substr(text + 3), kLongestError);
    if (++errors == kMostErrors) break;
  }
  return out.empty() ? "it gives no reason" : out;
}

}  // namespace nspawn
