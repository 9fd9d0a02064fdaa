#include "cri/image_holds.h"

#include "cri/record_table.h"
#include "proto/records.pb.h"

namespace cri {

base::Status HoldForContainers(const std::string& state_directory, image::Store& store) {
  RecordTable<cri_nspawn::records::v1::ContainerRecord> containers(state_directory + "/containers", "container");
  RETURN_IF_ERROR(containers.Load());
  for (const auto& record : containers.All()) {
    // An image that is gone altogether cannot be held, and needs not.
    (void)store.Hold(record->image_id(), record->id());
    for (const std::string& id : record->volume_image_ids()) (void)store.Hold(id, record->id());
  }
  return base::Ok();
}

}  // namespace cri
