// What lines in the journal say of the pod or container that they are about: the daemon's own, and those of its output.
#pragma once

#include "cri/runtime.h"
#include "nspawn/container_journal.h"

namespace cri {

// CRI_SANDBOX_ID, K8S_POD_NAME, K8S_NAMESPACE_NAME, K8S_POD_UID, and OBJECT_SYSTEMD_UNIT, by which `systemctl status`
// and `journalctl -u` find lines about a unit.
nspawn::JournalFields JournalFieldsOf(const SandboxRecord& sandbox);
// CRI_CONTAINER_ID, OBJECT_SYSTEMD_UNIT, and CONTAINER_NAME, CONTAINER_ID and CONTAINER_ID_FULL as docker and podman
// have them; and those of its pod, which may be missing, without its unit.
nspawn::JournalFields JournalFieldsOf(const ContainerRecord& container, const SandboxRecord* sandbox);

}  // namespace cri
