#include "nspawn/spawner/protocol.h"

#include <sys/wait.h>

#include <limits>

#include "base/text.h"
#include "nspawn/start_status.h"

namespace nspawn {
namespace {

void Append(std::string& out, std::string_view key, std::string_view value) {
  out.append(key);
  out += '=';
  out.append(value);
  out += '\0';
}

bool ReadEntry(std::string_view key, std::string_view value, SpawnRequest& request) {
  if (key == "argument") {
    request.arguments.emplace_back(value);
  } else if (key == "environment") {
    request.environment.emplace_back(value);
  } else if (key == "bundle") {
    request.bundle = value;
  } else if (key == "cgroup") {
    request.cgroup = value;
  } else if (key == "terminal") {
    request.terminal = value == "yes";
    return request.terminal;
  } else if (key == "program") {
    request.program = value;
  } else if (key == "pid") {
    const std::optional<uint64_t> pid = base::ParseUnsigned(value);
    if (!pid || *pid == 0 || *pid > static_cast<uint64_t>(std::numeric_limits<int>::max())) return false;
    request.pid = static_cast<int>(*pid);
  } else {
    return false;
  }
  return true;
}

}  // namespace

std::string EncodeRequest(const SpawnRequest& request) {
  std::string out;
  if (!request.bundle.empty()) {
    Append(out, "bundle", request.bundle);
    Append(out, "pid", std::to_string(request.pid));
    Append(out, "cgroup", request.cgroup);
    if (request.terminal) Append(out, "terminal", "yes");
  } else {
    Append(out, "program", request.program);
  }
  for (const std::string& argument : request.arguments) Append(out, "argument", argument);
  for (const std::string& variable : request.environment) Append(out, "environment", variable);
  return out;
}

base::Result<SpawnRequest> DecodeRequest(std::string_view encoded) {
  SpawnRequest request;
  while (!encoded.empty()) {
    const size_t end = encoded.find('\0');
    const std::string_view entry = encoded.substr(0, end);
    const size_t equals = entry.find('=');
    if (end == std::string_view::npos || equals == std::string_view::npos ||
        !ReadEntry(entry.substr(0, equals), entry.substr(equals + 1), request)) {
      return base::InvalidArgument("spawn request: \"" + base::Printable(entry.substr(0, equals), 64) + "\" is wrong");
    }
    encoded.remove_prefix(end + 1);
  }
  return request;
}

base::Result<int> ParseAnswer(std::string_view answer) {
  if (std::optional<base::Error> error = ParseStartError(answer)) return *std::move(error);
  const bool exited = answer.substr(0, kExitPrefix.size()) == kExitPrefix;
  const std::optional<uint64_t> number = exited ? base::ParseUnsigned(answer.substr(kExitPrefix.size())) : std::nullopt;
  if (!number) return base::Internal("the spawner answered \"" + base::Printable(answer, 64) + "\"");
  const int status = static_cast<int>(*number);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace nspawn
