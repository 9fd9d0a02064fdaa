#include "cri/journal_fields.h"

namespace cri {
namespace {

constexpr size_t kShortId = 12;

// Those that lines about a container have as well.
nspawn::JournalFields PodFields(const SandboxRecord& sandbox) {
  const auto& pod = sandbox.config().metadata();
  return {{"CRI_SANDBOX_ID", sandbox.id()},
          {"K8S_POD_NAME", pod.name()},
          {"K8S_NAMESPACE_NAME", pod.namespace_()},
          {"K8S_POD_UID", pod.uid()}};
}

}  // namespace

nspawn::JournalFields JournalFieldsOf(const SandboxRecord& sandbox) {
  nspawn::JournalFields fields = PodFields(sandbox);
  fields.emplace_back("OBJECT_SYSTEMD_UNIT", sandbox.machine() + ".service");
  return fields;
}

nspawn::JournalFields JournalFieldsOf(const ContainerRecord& container, const SandboxRecord* sandbox) {
  nspawn::JournalFields fields;
  if (sandbox != nullptr) fields = PodFields(*sandbox);
  fields.emplace_back("CRI_CONTAINER_ID", container.id());
  fields.emplace_back("CONTAINER_NAME", container.config().metadata().name());
  fields.emplace_back("CONTAINER_ID", container.id().substr(0, kShortId));
  fields.emplace_back("CONTAINER_ID_FULL", container.id());
  fields.emplace_back("OBJECT_SYSTEMD_UNIT", container.name() + ".service");
  return fields;
}

}  // namespace cri
