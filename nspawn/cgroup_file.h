// Files of control groups.
#pragma once

#include <string>

#include "base/result.h"

namespace nspawn {

// Writes `value` to `file` of the control group that is mounted at `directory`, in one write as the kernel wants it;
// the file must be there. ENODEV: the group was removed meanwhile.
base::Status WriteCgroupFile(const std::string& directory, const std::string& file, const std::string& value);

}  // namespace nspawn
