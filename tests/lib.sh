# What the commands in tests/ share.
# shellcheck shell=bash disable=SC2034  # used by those who source this

tests=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
repository=$(dirname "$tests")
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

# logged LOG COMMAND… runs a command, function or not, with its output in a file. When it fails, the end of that is shown
# and the script ends.
logged() {
  local log=$1 status=0
  shift
  mkdir -p "$(dirname "$log")"
  # Not as a condition: the shell would let errors inside a function pass.
  set +e
  (
    set -e
    "$@"
  ) 3>&2 >"$log" 2>&1 </dev/null
  status=$?
  set -e
  if ((status != 0)); then
    tail -n 30 "$log" >&2
    die "this failed; the whole log: $log"
  fi
  rm -f "$log"
}

# ensure_built NAME TARGET COMMAND… has COMMAND make TARGET in the cache unless it is there, removes other versions of it
# (NAME-v…), and prints the path. One at a time.
ensure_built() {
  local name=$1 target=$2
  shift 2
  mkdir -p "$cache"
  exec 8>"$cache/$name.lock"
  flock 8
  [[ -e $target ]] || logged "$target.log" "$@" 8>&-
  find "$cache" -maxdepth 1 -name "$name-v*" ! -path "$target" -exec rm -rf {} +
  exec 8>&-
  printf '%s\n' "$target"
}

# install_packages PACKAGE… by apt-get, quietly.
install_packages() {
  say "installing $*"
  logged "$cache/apt.log" apt-get update -qq
  logged "$cache/apt.log" env DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends "$@"
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

# extract DIRECTORY PACKAGE… unpacks Debian packages and what they depend on, without the parts that only weigh.
extract() {
  local root=$1
  shift
  local -a sources
  mapfile -t sources < <(apt_sources)
  mmdebstrap --mode=root --variant=extract --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --include="$(IFS=, && echo "$*")" --aptopt=<(apt_options) --aptopt='Apt::Install-Recommends "false"' \
    bookworm "$root" "${sources[@]}" </dev/null
  rm -rf "$root"/usr/share/{doc,man,locale,info,perl5,lintian,bug} "$root"/usr/lib/x86_64-linux-gnu/{gconv,tc,perl*} \
    "$root"/var/{cache,lib}/{apt,dpkg} "$root"/etc/apt
}

# recipe_hash FOLDER NAME… prints a short hash of files and folders below FOLDER, their names included.
recipe_hash() {
  (cd "$1" && find "${@:2}" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) | sha256sum | cut -c1-12
}

# need_packages PACKAGE… installs those that are missing.
need_packages() {
  local package missing=()
  for package; do
    dpkg-query -Wf '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

# What the Go modules that tests build ask for at least, and the toolchain that is fetched where the machine has none as new.
go_needed=1.26 go_fetched=go1.26.8

# Prints a go command of $go_needed or newer.
go_command() {
  local go found folder
  for go in go /usr/local/go/bin/go /usr/lib/go-*/bin/go; do
    found=$("$go" env GOVERSION 2>/dev/null) || continue
    if printf 'go%s\n%s\n' "$go_needed" "$found" | sort -VC; then
      command -v "$go"
      return
    fi
  done
  need go=golang-go
  say "fetching $go_fetched"
  folder=$(cd / && go mod download -json "golang.org/toolchain@v0.0.1-$go_fetched.linux-$(dpkg --print-architecture)" |
    sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  # Module archives carry no modes.
  chmod -R u+w,a+X "$folder"
  find "$folder/bin" "$folder/pkg/tool" -type f -exec chmod a+x {} +
  printf '%s\n' "$folder/bin/go"
}

# build_release [CMAKE-OPTION…] builds the release preset, with the packages that this needs.
build_release() { build_preset release "$@"; }

# build_preset PRESET [CMAKE-OPTION…] builds any.
build_preset() {
  local preset=$1 dependencies
  shift
  mapfile -t dependencies < <(sed 's/#.*//; /^[[:space:]]*$/d' "$repository/packaging/build-dependencies")
  need_packages "${dependencies[@]}"
  # ccache finds what another clone of this repository has compiled.
  export CCACHE_BASEDIR=$repository CCACHE_NOHASHDIR=1
  cd "$repository"
  logged "$repository/build/configure.log" cmake --preset "$preset" -DCMAKE_CXX_COMPILER_LAUNCHER=ccache "$@"
  logged "$repository/build/build.log" cmake --build --preset "$preset" -- -k 0
}

# install_daemon NODE [PRESET] puts a build (release) and crictl there, and starts the daemon as a service.
install_daemon() {
  local node=$1 build=$repository/build/${2-release} stage crictl
  stage=$(mktemp -d)
  chmod 755 "$stage"  # it becomes the mode of the node's /
  if [[ ${2-} == *san ]]; then
    # Reports name lines of the sources.
    DESTDIR=$stage cmake --install "$build" >/dev/null
    install -D -m 644 /dev/stdin "$stage/etc/systemd/system/cri-nspawn.service.d/sanitizers.conf" <<'END'
[Service]
Environment=ASAN_OPTIONS=log_path=/var/log/cri-nspawn-sanitizer UBSAN_OPTIONS=print_stacktrace=1:log_path=/var/log/cri-nspawn-sanitizer
Environment=TSAN_OPTIONS=log_path=/var/log/cri-nspawn-sanitizer
END
    install_debs "$node" libatomic1 libasan8 libubsan1 libtsan2
  else
    DESTDIR=$stage cmake --install "$build" --strip >/dev/null
  fi
  crictl=$("$tests/cri_tools" crictl)
  install -D "$crictl" "$stage/usr/local/bin/crictl"
  "$tests/node" copy "$stage/." "$node:/"
  rm -rf "$stage"
  "$tests/node" exec "$node" -- systemctl daemon-reload
  if ! "$tests/node" exec "$node" -- systemctl enable --quiet --now cri-nspawn.service; then
    "$tests/node" journal "$node" -u cri-nspawn.service -n 40 >&2
    die "the daemon did not start"
  fi
}

# install_debs NODE PACKAGE… puts Debian packages there, unpacked but not configured. They are fetched once, to the folder
# in the cache that has the first one's name.
install_debs() {
  local node=$1 packages=$cache/$2 file stage
  shift
  mkdir -p "$packages"
  exec 8>"$packages.lock"
  flock 8
  if ! compgen -G "$packages/*.deb" >/dev/null; then
    logged "$packages.log" apt-get update -qq
    (cd "$packages" && logged "$packages.log" apt-get download "$@")
  fi
  exec 8>&-
  stage=$(mktemp -d)
  chmod 755 "$stage"  # it becomes the mode of the node's /
  for file in "$packages"/*.deb; do dpkg -x "$file" "$stage"; done
  # On the node it is a link, which a folder would replace.
  if [[ -d $stage/lib ]]; then
    cp -a "$stage/lib" "$stage/usr"
    rm -rf "${stage:?}/lib"
  fi
  "$tests/node" copy "$stage/." "$node:/"
  rm -rf "$stage"
  "$tests/node" exec "$node" -- systemctl daemon-reload
}

# install_on NODE [PRESET] installs the daemon, and fills the node's registry with the images of the tests.
install_on() {
  install_daemon "$@"
  "$tests/images" push "$1"
}
