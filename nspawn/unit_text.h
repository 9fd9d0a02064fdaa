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

// `init` is the host's path of the program that sets the container up. With a path in `bundle` it starts outside and
// goes there itself (see ContainerDropIn()), else inside, where systemd binds it. kInvalidArgument names what no unit
// file can say: a slice, path or signal that is none.
base::Result<std::string> UnitText(const ContainerSpec& spec, const ResourceSettings& resources,
                                   const std::string& init, const std::string& bundle = "");

// Takes back what portabled says in a drop-in of its own, and would have systemd make a mount namespace for: that costs
// it a fifth of a start, the more mounts the host has the more, and init makes one all the same.
std::string_view ContainerDropIn();
// Its name, by which it comes after portabled's "20-portable.conf".
inline constexpr char kContainerDropInName[] = "50-cri-nspawn.conf";

}  // namespace nspawn
