# The files of an image are what an independent program makes of the same layers, metadata and content.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317  # expanded elsewhere; $scratch is the runner's; called by name

# shellcheck source=tests/image_suite/image_lib.sh
source ./image_lib.sh

# like_umoci NAME [FORM…] compares an image in one form or several.
like_umoci() {
  local name=$1 form
  shift
  reset_registry
  reference_of "$name" >"$scratch/reference"
  for form in "${@:-oci-gzip}"; do
    # A layer that is here already would not be unpacked.
    crictl pull "$suite_registry/$name/$form"
    same_tree "$scratch/reference" "$suite_registry/$name/$form"
    crictl rmi "$suite_registry/$name/$form"
  done
}

test_files_of_every_kind_are_the_same() {
  like_umoci kinds-of-files
}

test_hard_links_across_directories_are_the_same() {
  like_umoci hard-links
}

test_whiteouts_delete_what_is_below() {
  like_umoci whiteouts
}

test_opaque_directories_hide_what_is_below() {
  like_umoci opaque-directories
}

test_files_replaced_by_directories_and_back_are_the_same() {
  like_umoci replacements
}

test_names_long_and_strange_are_the_same() {
  like_umoci names
}

test_times_are_kept_to_the_nanosecond() {
  like_umoci times
}

test_owners_beyond_16_bits_are_kept() {
  like_umoci owners
}

test_entries_in_unusual_order_are_the_same() {
  like_umoci unusual-order
}

test_empty_and_repeated_layers_change_nothing() {
  like_umoci empty-layers
}

test_sparse_files_are_the_same_and_stay_sparse() {
  like_umoci sparse-files
  crictl pull "$suite_registry/sparse-files/oci-gzip"
  local disk
  disk=$(find "$image_store/l" -name 'pax-1.0' -printf '%k')
  ((disk < 1024)) || fail "a file with 15 KiB of data takes $disk KiB"
  crictl rmi "$suite_registry/sparse-files/oci-gzip"
}

test_what_only_gnu_tar_unpacks_is_the_same() {
  local image=$suite_registry/for-gnu-tar/oci-tar layer
  reset_registry
  python3 correct_images.py for-gnu-tar "$scratch/layout"
  layer=$(LC_ALL=C grep -lraP '^\x1f\x8b' "$scratch/layout/blobs")
  mkdir "$scratch/tree"
  zcat "$layer" | tar --extract --preserve-permissions --numeric-owner --xattrs --xattrs-include='*' -C "$scratch/tree"
  python3 trees.py "$scratch/tree" >"$scratch/reference"
  crictl pull "$image"
  same_tree "$scratch/reference" "$image"
  crictl rmi "$image"
}

test_attributes_that_steer_overlayfs_are_not_taken() {
  local image=$suite_registry/steering-attributes/oci-gzip tree
  reset_registry
  crictl pull "$image"
  tree=$(tree_of "$image")
  lacks "$tree" 'trusted|user.overlay'
  contains "$tree" '^folder .*xattrs=user.kept=78$'
  contains "$tree" '^file .*xattrs=user.kept=78$'
  contains "$tree" '^folder/lower '
  contains "$tree" '^folder/upper '
  crictl rmi "$image"
}

test_folders_that_no_entry_names_are_those_below() {
  like_umoci implied-folders
}

test_what_is_below_a_link_of_a_lower_layer_goes_where_it_points() {
  local before
  before=$(ls -la --full-time /etc)
  like_umoci lower-links
  equals "$before" "$(ls -la --full-time /etc)" 'the host'
}

test_a_link_of_a_lower_layer_does_not_lead_out() {
  local image=$suite_registry/lower-link tree before
  reset_registry
  before=$(ls -la --full-time /etc)
  crictl pull "$image"
  tree=$(tree_of "$image")
  contains "$tree" '^out symlink .* to=/etc '
  contains "$tree" '^up symlink '
  contains "$tree" '^etc/escaped file '
  equals "$before" "$(ls -la --full-time /etc)" 'the host'
  crictl rmi "$image"
}

test_whiteouts_of_nothing_are_not_seen() {
  like_umoci needless-whiteouts
}

test_an_opaque_root_hides_all_layers_below() {
  like_umoci opaque-root
}

# The time of a root that the topmost layer has no entry for is that of unpacking.
test_the_root_is_that_of_the_topmost_layer_that_has_one() {
  local image=$suite_registry/root-of-a-lower-layer/oci-gzip root='^\. directory 0711 12:34 .* xattrs=user.root=78$' pod_id id
  reset_registry
  crictl pull "$image"
  contains "$(tree_of "$image")" "$root"
  # And so is that of a container, which is of its writable layer.
  python3 correct_images.py root-of-a-lower-layer "$scratch/layout"
  pod_id=$(pod rooted)
  id=$(created rooted "$pod_id" main '.image.image = $ARGS.positional[0] | .command = ["/none"]' "$image")
  contains "$(python3 trees.py "$(crictl inspect "$id" | jq -r .info.writableLayer)")" "$root"
  crictl rmp -f "$pod_id"
  crictl rmi "$image"
}

# As Kubernetes 1.36 demands of a runtime.
test_an_image_has_one_id_everywhere() {
  local image=$suite_registry/times/docker pulled_id pod_id id
  reset_registry
  pulled_id=$(crictl pull "$image" | sed 's/.* for //')
  contains "$pulled_id" '^sha256:[0-9a-f]{64}$'
  equals "$pulled_id" "$(crictl inspecti "$image" | jq -r .status.id)"
  equals "$pulled_id" "$(crictl images --no-trunc -o json "$image" | jq -r '.images[].id')"
  equals "$pulled_id" "$(crictl pull "$image" | sed 's/.* for //')" 'the id of a second pull'
  pod_id=$(pod named)
  id=$(created named "$pod_id" main '.image.image = $ARGS.positional[0]' "$pulled_id")
  equals "$pulled_id" "$(status "$id" .imageId)"
  equals "$pulled_id" "$(crictl ps -a -o json | jq -r '.containers[].imageId')"
  crictl rmp -f "$pod_id"
  crictl rmi "$image"
}

test_attributes_are_kept() {
  like_umoci attributes
}

test_every_media_type_and_compression_gives_the_same_tree() {
  like_umoci all-of-it oci-tar oci-gzip oci-gzip-members oci-zstd oci-zstd-frames oci-nondistributable docker docker-tar docker-foreign
}
