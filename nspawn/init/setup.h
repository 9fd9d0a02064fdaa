// What the processes that make a container work with.
#pragma once

#include "nspawn/init/id_maps.h"
#include "nspawn/init/streams.h"
#include "nspawn/process/bundle.h"

namespace nspawn {

struct Setup {
  const Bundle& bundle;
  const Streams& streams;
  int user_file;  // the bundle's "user"
  int proc;       // a procfs of the host's PID namespace
  const IdMaps& maps;
};

}  // namespace nspawn
