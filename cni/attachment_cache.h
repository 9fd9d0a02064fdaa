// What is known of each attachment, on disk: one file per container id, so that a crash at any point can be undone.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "cni/plugin_chain.h"

namespace cni {

struct CachedAttachment {
  Invocation invocation;
  base::Json configuration;  // the list, as ParseConfiguration takes it
  base::Json result;         // of the last plugin; null until every ADD has succeeded
};

class AttachmentCache {
 public:
  explicit AttachmentCache(std::string directory) : directory_(std::move(directory)) {}

  // Removes what an interrupted write left behind. For the start, before any other call.
  void RemoveLeftovers() const;

  // Makes an entry, and returns when it would outlive a power loss.
  base::Status Create(const CachedAttachment& attachment) const;
  // Replaces an entry. After a power loss it may have no result, or make no sense: a DEL is possible without it.
  base::Status Update(const CachedAttachment& attachment) const;
  // kNotFound when there is no entry, kDataLoss when there is one that makes no sense.
  base::Result<CachedAttachment> Read(const std::string& container_id) const;
  // No error when there is none.
  base::Status Remove(const std::string& container_id) const;
  // The container ids that have entries, readable or not.
  base::Result<std::vector<std::string>> Ids() const;

 private:
  std::string PathOf(const std::string& container_id) const;

  const std::string directory_;
};

}  // namespace cni
