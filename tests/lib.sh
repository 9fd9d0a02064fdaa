# What the commands in tests/ share.
# shellcheck shell=bash

# Everything that is expensive to make is kept here, outside the repository.
cache=${CRI_NSPAWN_CACHE:-${XDG_CACHE_HOME:-/var/cache}/cri-nspawn}

# Messages go to standard error, or to descriptor 3 where standard error is a log.
say() {
  if { : >&3; } 2>/dev/null; then printf '%s: %s\n' "${0##*/}" "$*" >&3; else printf '%s: %s\n' "${0##*/}" "$*" >&2; fi
}
die() {
  say "$@"
  exit 1
}

# install_packages PACKAGE… by apt-get, quietly.
install_packages() {
  local log
  say "installing $*"
  log=$(mktemp)
  if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends "$@"; } \
    >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    die "apt-get could not install $*"
  fi
  rm -f "$log"
}

# need COMMAND=PACKAGE… installs the packages whose command is missing.
need() {
  local pair missing=()
  for pair; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

# The machine's own apt sources of Debian 12, one file a line; none on another release.
apt_sources() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    if [[ -f $file ]] && grep -Eq '^[^#]*[[:space:]]bookworm([[:space:]-]|$)' "$file"; then printf '%s\n' "$file"; fi
  done
}

# The machine's way to its apt sources: proxies, time-outs and the like.
apt_options() { apt-config dump | grep '^Acquire::' || true; }

# recipe_hash FOLDER NAME… prints a short hash of files and folders below FOLDER, their names included.
recipe_hash() {
  (cd "$1" && find "${@:2}" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) | sha256sum | cut -c1-12
}
