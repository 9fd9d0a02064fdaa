# What the tests of images share, on top of lib.sh.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154  # used by those who source this, expanded elsewhere; $scratch and $base are the runner's

suite_registry=127.0.0.1:5001 image_store=/var/lib/cri-nspawn/images
most_growth_kb=65536  # of the daemon's memory in one pull

# Forgets what the registry was asked, and what its repositories remember.
reset_registry() {
  eventually 10 curl -sf -m 5 "http://$suite_registry/reset"
  curl -sf -m 5 "http://$suite_registry/reset"
}

# requests JQ-FILTER: the requests since then.
requests() { curl -sf -m 5 "http://$suite_registry/log" | jq -c "$1"; }

# Everything on disk that belongs to images, and the images that are listed. Records grow shorter once layers are synced.
stored() {
  find "$image_store" -name '*.json' -printf '%P %y\n' -o -printf '%P %y %s\n' | sort
  crictl images --digests --no-trunc | sort
}

resident_kb() { sed -n "s/^$1:[^0-9]*\([0-9]*\).*/\1/p" "/proc/$(daemon_pid)/status"; }

# refused_image PATTERN REPOSITORY [OPTION…]: pulling it fails with words that name the image and match, takes little
# memory and leaves nothing behind; and then a right image can be pulled.
refused_image() {
  local pattern=$1 image=$2 before output memory
  shift 2
  [[ $image == *:*/* ]] || image=$suite_registry/$image
  echo "-- $image"
  before=$(stored)
  echo 5 >"/proc/$(daemon_pid)/clear_refs"  # begins VmHWM anew
  memory=$(resident_kb VmRSS)
  if output=$(crictl pull "$@" "$image" 2>&1); then fail "this image was pulled: $image"; fi
  memory=$(($(resident_kb VmHWM) - memory))
  output=${output//\\\"/\"}  # crictl quotes the message
  echo "$output"
  contains "$output" "$image"
  contains "$output" "$pattern"
  lacks "$output" 'open-sesame|secret-word'
  ((memory < most_growth_kb)) || fail "the daemon has grown by $memory KiB"
  diff <(cat <<<"$before") <(stored) || fail 'something was left behind'
  crictl pull "$suite_registry/good"
  crictl rmi "$suite_registry/good"
}

# refused_layer PATTERN …: in addition the words name the layer.
refused_layer() { refused_image "layer sha256:[0-9a-f]{64}:.*($1)" "${@:2}"; }

# pulled REPOSITORY [OPTION…] pulls an image that is not here, and removes it again.
pulled() {
  local image=$suite_registry/$1
  echo "-- $image"
  crictl pull "${@:2}" "$image"
  crictl rmi "$image"
}

# tree_of IMAGE lists what a container sees of an image, here through an image volume.
tree_of() {
  local id
  [[ -e $scratch/viewer ]] || pod viewer >"$scratch/viewer"
  id=$(started viewer "$(<"$scratch/viewer")" main \
    '.mounts = [{container_path: "/image", readonly: true, image: {image: $ARGS.positional[0]}}]' "$1")
  python3 trees.py "/proc/$(crictl inspect "$id" | jq .info.pid)/root/image"
  crictl rm -f "$id" >/dev/null
}

# same_tree REFERENCE-TREE IMAGE: the lines of both are equal.
same_tree() { diff "$1" <(tree_of "$2") || fail "$2 has another tree than the reference"; }

# reference_of NAME prints the tree that umoci makes of an image.
reference_of() {
  python3 correct_images.py "$1" "$scratch/$1"
  umoci unpack --image "$scratch/$1:image" "$scratch/$1-bundle" >&2
  python3 trees.py "$scratch/$1-bundle/rootfs"
}
