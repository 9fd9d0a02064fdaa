// The unit file of a container.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "nspawn/container.h"
#include "nspawn/resources.h"

namespace nspawn {

// Free text for a unit file that cannot leave its line: control characters, a backslash at the end and what is not
// UTF-8 become "\xNN" (for a reader; nothing turns it back), and what is longer than 4 KiB is cut.
std::string EscapeText(std::string_view text);
// The same for settings in which systemd expands specifiers: '%' is doubled.
std::string EscapeSpecifiers(std::string_view text);

// Whether it may become a file, a unit, a portable image and a word of PORTABLE_PREFIXES=, as ReadableName() makes it:
// lower-case letters, digits and dashes, of which none is the first, at most 64.
bool IsReadableName(const std::string& name);
// The unit of the container or service of that name.
std::string UnitName(const std::string& name);

// The slice that a container's unit is in.
std::string SliceName(const ContainerSpec& spec);

// `init` is the host's path of the program that sets the container up. kInvalidArgument names what no unit file can
// say: a slice, path or signal that is none.
base::Result<std::string> UnitText(const ContainerSpec& spec, const ResourceSettings& resources,
                                   const std::string& init);

}  // namespace nspawn
