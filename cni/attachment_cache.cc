#include "cni/attachment_cache.h"

#include <unistd.h>

#include "base/files.h"
#include "base/log.h"
#include "base/trace.h"

namespace cni {
namespace {

// A configuration file and a plugin's result have at most 1 MiB each; escaped text takes more.
constexpr size_t kMostFileSize = 16 << 20;
// A configuration, result or capability that was just allowed lies a few levels deeper here.
constexpr size_t kMostDepth = base::kMostJsonDepth + 8;
constexpr std::string_view kSuffix = ".json";
constexpr int kFormat = 1;

base::Json ToJson(const CachedAttachment& attachment) {
  const Invocation& invocation = attachment.invocation;
  return {{"format", kFormat},
          {"containerId", invocation.container_id},
          {"namespacePath", invocation.namespace_path},
          {"interface", invocation.interface},
          {"arguments", invocation.arguments},
          {"capabilities", invocation.capabilities},
          {"masquerade", invocation.masquerade},
          {"configuration", attachment.configuration},
          {"result", attachment.result}};
}

base::Result<CachedAttachment> FromJson(base::Json json) {
  if (const auto format = json.find("format"); format == json.end() || *format != kFormat) {
    return base::InvalidArgument("its format is not known");
  }
  CachedAttachment attachment;
  Invocation& invocation = attachment.invocation;
  ASSIGN_OR_RETURN(invocation.container_id, base::StringMember(json, "containerId"));
  ASSIGN_OR_RETURN(invocation.namespace_path, base::StringMember(json, "namespacePath"));
  ASSIGN_OR_RETURN(invocation.interface, base::StringMember(json, "interface"));
  ASSIGN_OR_RETURN(invocation.arguments, base::StringMember(json, "arguments"));
  invocation.capabilities = std::move(json["capabilities"]);
  if (!invocation.capabilities.is_object()) return base::InvalidArgument("its \"capabilities\" are not a JSON object");
  // Not in records of earlier versions.
  if (const auto own = json.find("masquerade"); own != json.end()) invocation.masquerade = *own == true;
  attachment.configuration = std::move(json["configuration"]);
  attachment.result = std::move(json["result"]);
  if (!attachment.result.is_null() && !attachment.result.is_object()) {
    return base::InvalidArgument("its \"result\" is not a JSON object");
  }
  RETURN_IF_ERROR(Validate(invocation));
  return attachment;
}

}  // namespace

std::string AttachmentCache::PathOf(const std::string& container_id) const {
  return directory_ + "/" + container_id + std::string(kSuffix);
}

void AttachmentCache::RemoveLeftovers() const {
  const auto names = base::ListDirectory(directory_);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (name.find(std::string(kSuffix) + ".tmp-") == std::string::npos) continue;
    if (::unlink((directory_ + "/" + name).c_str()) != 0) {
      base::Log(base::LogLevel::kWarning, base::ErrnoError("remove " + directory_ + "/" + name).message());
    }
  }
}

base::Status AttachmentCache::Create(const CachedAttachment& attachment) const {
  const base::TraceSpan span("disk", "create attachment", attachment.invocation.container_id);
  const std::string doing = "record the network attachment of " + attachment.invocation.container_id;
  RETURN_IF_ERROR(base::MakeDirectories(directory_, 0700).Wrap(doing));
  return base::WriteFileDurable(PathOf(attachment.invocation.container_id), base::JsonText(ToJson(attachment)))
      .Wrap(doing);
}

base::Status AttachmentCache::Update(const CachedAttachment& attachment) const {
  return base::WriteFileAtomic(PathOf(attachment.invocation.container_id), base::JsonText(ToJson(attachment)))
      .Wrap("record the network attachment of " + attachment.invocation.container_id);
}

base::Result<CachedAttachment> AttachmentCache::Read(const std::string& container_id) const {
  const std::string path = PathOf(container_id);
  const auto damaged = [&](base::Error error) {
    return std::move(error)
        .WithCode(base::Code::kDataLoss)
        .Wrap("the network attachment record " + path + " is damaged");
  };
  auto text = base::ReadFile(path, kMostFileSize);
  if (!text.ok()) {
    if (text.error().code() == base::Code::kResourceExhausted && text.error().number() == 0) {
      return damaged(std::move(text).error());
    }
    return std::move(text).error();
  }
  auto json = base::ParseJsonObject(*text, kMostDepth);
  if (!json.ok()) return damaged(std::move(json).error());
  auto attachment = FromJson(*std::move(json));
  if (!attachment.ok()) return damaged(std::move(attachment).error());
  if (attachment->invocation.container_id != container_id) {
    return damaged(base::InvalidArgument("it is that of another container"));
  }
  return attachment;
}

base::Status AttachmentCache::Remove(const std::string& container_id) const {
  const std::string path = PathOf(container_id);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return base::ErrnoError("remove " + path);
  return base::Ok();
}

base::Result<std::vector<std::string>> AttachmentCache::Ids() const {
  auto names = base::ListDirectory(directory_);
  if (!names.ok()) {
    if (names.error().code() == base::Code::kNotFound) return std::vector<std::string>();
    return std::move(names).error();
  }
  std::vector<std::string> ids;
  for (const std::string& name : *names) {
    if (!name.ends_with(kSuffix)) continue;
    std::string id = name.substr(0, name.size() - kSuffix.size());
    if (IsIdentifier(id)) ids.push_back(std::move(id));
  }
  return ids;
}

}  // namespace cni
