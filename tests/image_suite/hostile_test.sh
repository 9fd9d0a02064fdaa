# A hostile image or registry gets nothing but a clear refusal: it names image, layer and cause, and leaves nothing behind.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317  # expanded elsewhere; $scratch is the runner's; called by name

# shellcheck source=tests/image_suite/image_lib.sh
source ./image_lib.sh

readonly credentials=visitor:open-sesame

test_names_that_lead_out_of_a_layer_are_refused() {
  local before
  reset_registry
  before=$(ls -la --full-time /etc)
  refused_layer '"\.\./.*/etc/escaped": the name leads out of the layer with "\.\."' parent-directories
  refused_layer 'leads out of the layer with "\.\."' parent-directories-inside
  refused_layer '"out/escaped": .*leads out of the layer through a symbolic link' absolute-link
  refused_layer 'leads out of the layer through a symbolic link' relative-link
  refused_layer 'leads out of the layer through a symbolic link' chained-links
  refused_layer 'loop of symbolic links' looping-links
  refused_layer 'leads out of the layer through a symbolic link' replaced-parent
  refused_layer 'leads out of the layer through a symbolic link' process-link
  refused_layer 'leads out of the layer through a symbolic link' folder-through-link
  refused_layer 'leads out of the layer through a symbolic link' opaque-through-link
  refused_layer 'leads out of the layer through a symbolic link' whiteout-through-link
  equals "$before" "$(ls -la --full-time /etc)" 'the host'
}

test_hard_links_out_of_a_layer_are_refused() {
  reset_registry
  refused_layer '"shadow": hard link to "/etc/shadow".*not in the layer' hard-link-absolute
  refused_layer '"a/shadow": hard link to .*leads out of the layer' hard-link-relative
  refused_layer 'hard link to "out/shadow".*leads out of the layer through a symbolic link' hard-link-through-link
  refused_layer 'hard link to "file".*not in the layer' hard-link-to-lower
  refused_layer 'hard link to "a".*directory' hard-link-to-directory
}

test_whiteouts_of_no_name_are_refused() {
  reset_registry
  refused_layer 'whiteout hides no valid name' whiteout-of-itself
  refused_layer 'whiteout hides no valid name' whiteout-of-parent
  refused_layer 'whiteout hides no valid name' whiteout-of-nothing
  refused_layer 'device 0/0' raw-whiteout
}

test_entries_beyond_every_bound_are_refused() {
  reset_registry
  refused_layer 'root can only be a directory' root-is-link
  refused_layer 'nested too deep' deep-folders
  refused_layer 'name is too long' long-name
  refused_layer 'name is too long' long-path
  refused_layer "owner's number is out of range" owner-out-of-range
  refused_layer 'extended attribute "user.large"' large-attribute
  refused_layer 'tar archive' large-pax-header
  refused_layer 'negative size' negative-size
}

test_broken_archives_are_refused() {
  reset_registry
  refused_layer '[Tt]runcated' cut-off
  refused_layer 'tar archive' no-archive
  refused_layer 'gzip data is broken' broken-gzip
  refused_layer 'zstd data is broken' broken-zstd
}

test_decompression_bombs_are_stopped_at_the_allowed_size() {
  reset_registry
  refused_layer '67108864 bytes allowed' gzip-bomb
  refused_layer '67108864 bytes allowed' zstd-bomb
  refused_layer '67108864 bytes allowed' bomb-of-files
  refused_layer '67108864 bytes allowed' bomb-behind-the-end
  refused_layer 'bytes allowed for a layer of its size' bomb-by-ratio
  pulled zeros
  refused_layer '67108864 bytes allowed' sparse-bomb
  refused_layer '67108864 bytes allowed' old-sparse-bomb
}

test_more_files_than_the_configured_number_are_refused() {
  reset_registry
  refused_layer '3000 files allowed' many-files
  refused_layer '3000 files allowed' many-folders
}

test_documents_beyond_4_mib_are_refused() {
  reset_registry
  refused_image '4194304 bytes allowed' manifest-too-long
  refused_image '4194304 bytes allowed' config-too-long
  refused_image '4194304 bytes allowed' manifest-endless
  pulled manifest-just-fits
}

test_deep_documents_and_indexes_are_refused() {
  reset_registry
  refused_image 'manifest.* nested too deep' manifest-deep
  refused_image 'nested too deep' index-deep
  refused_image 'configuration.* nested too deep' config-deep
  refused_image 'indexes are nested too deep' index-nested
  refused_image 'digest' index-cyclic
}

test_malformed_manifests_are_refused() {
  reset_registry
  refused_image 'not valid JSON' manifest-garbage
  refused_image 'no JSON object' manifest-list
  refused_image 'ambiguous' manifest-ambiguous
  refused_image 'schema 1' manifest-schema-1
  refused_image 'no valid sha256 or sha512 digest' manifest-path-digest
  refused_image 'no valid sha256 or sha512 digest' manifest-other-algorithm
  refused_image 'no valid size' manifest-negative-size
  refused_image 'no valid size' manifest-text-size
  refused_image 'no valid size' manifest-vast-size
  refused_image 'no layers' manifest-null
  refused_image 'application/x-sh' manifest-unknown-layer
  refused_image 'no container image' manifest-no-image
  refused_image '5000 layers' manifest-many-layers
  refused_image 'linux/s390x' index-other-platform
}

test_malformed_configurations_are_refused() {
  reset_registry
  refused_image 'configuration.*not valid JSON' config-garbage
  refused_image 'configuration.*no root file system' config-no-root
  refused_image '1 layers but the configuration 0' config-few-layers
  refused_image 'invalid diff ID' config-path-diff-id
  refused_image 'image is for windows' config-other-platform
}

test_wrong_sizes_are_refused() {
  reset_registry
  refused_layer 'states 500|more than' layer-size-small
  refused_layer 'states 5000' layer-size-large
  refused_image 'configuration.*states 10' config-size-small
  refused_image 'configuration.*states 1000000' config-size-large
  refused_image 'manifest sha256:.*the index states' index-wrong-size
}

test_wrong_digests_are_refused() {
  reset_registry
  refused_layer 'digest' layer-wrong-digest
  refused_layer 'diff ID' config-other-diff-id
  refused_layer 'digest' one-bad-layer-of-three
  refused_image 'configuration sha256:.*digest' config-wrong-digest
  refused_image 'digest' manifest-wrong-header
  refused_image 'digest' "manifest-wrong-digest@sha256:$(printf 'asked for' | sha256sum | cut -d' ' -f1)"
}

test_a_layer_that_breaks_off_is_continued_where_it_broke_off() {
  reset_registry
  pulled layer-broken-off-once
  equals '["bytes=100000-"]' "$(requests '[.[] | .range | values]')"
}

test_a_layer_that_breaks_off_comes_whole_from_a_registry_without_ranges() {
  reset_registry
  pulled layer-broken-off-without-ranges
  equals '["bytes=100000-","bytes=200000-"]' "$(requests '[.[] | .range | values]')"
}

test_a_layer_that_cannot_be_continued_is_refused() {
  reset_registry
  refused_layer 'of 300[0-9]* bytes received|closed' layer-cut-off
  refused_layer 'another range' layer-range-too-far
  refused_layer 'digest' layer-range-of-another
  refused_layer 'bytes' layer-endless
}

test_a_registry_that_stalls_or_drips_is_not_waited_for() {
  reset_registry
  refused_layer 'nothing received for 2 seconds' layer-stalls
  refused_layer 'too slow: .* bytes received in 2 seconds' layer-drips
  refused_image 'DeadlineExceeded|deadline|cancel' hangs --pull-timeout 1s
}

test_a_busy_registry_is_asked_again_when_it_says() {
  local between='[.[] | select(.path | test("/manifests/|/blobs/"))] | group_by(.path) | map(select(length > 1)) | .[] | .[1].at - .[0].at >= 1'
  reset_registry
  pulled busy-once
  equals true "$(requests "$between")"
  reset_registry
  pulled layer-busy-once
  equals true "$(requests "$between")"
}

test_a_registry_that_refuses_or_fails_is_quoted() {
  reset_registry
  refused_image 'too many requests \(HTTP 429\).*TOOMANYREQUESTS: come back tomorrow' busy-always
  refused_image "registry http://$suite_registry: .*500" error-always
  refused_image "registry http://$suite_registry: .*500" error-endless
  refused_image 'headers are too long|Too large response headers' headers-endless
  refused_layer 'access denied \(DENIED: no' layer-forbidden
  refused_layer 'not found' layer-missing
}

test_a_redirect_to_another_host_does_not_take_credentials_along() {
  reset_registry
  pulled private-redirected --creds "$credentials"
  equals 2 "$(requests '[.[] | select(.port == 5002)] | length')" 'the number of redirected requests'
  equals 0 "$(requests '[.[] | select(.port == 5002) | select(.authorization or ."x-secret")] | length')" 'the number of requests with a secret'
  contains "$(requests '.[] | select(.path | test("/blobs/")) | select(.port == 5001)')" '"authorization":"Basic'
  reset_registry
  pulled token-redirected --creds "$credentials"
  equals 0 "$(requests '[.[] | select(.port == 5002) | select(.authorization or ."x-secret")] | length')" 'the number of requests with a secret'
  contains "$(requests '.[] | select(.path | test("/blobs/")) | select(.port == 5001)')" '"authorization":"Bearer good-token"'
}

test_redirects_that_lead_astray_are_refused() {
  reset_registry
  refused_layer 'too many redirects' layer-redirect-loop
  refused_layer 'neither http nor https' layer-redirect-to-file
  refused_layer 'user name or password' layer-redirect-with-password
  refused_layer 'redirect' layer-redirect-to-nowhere
  refused_layer 'link-local' layer-redirect-to-link-local
  refused_layer 'link-local' layer-redirect-to-mapped-link-local
  refused_layer 'link-local' layer-foreign-link-local
}

test_wrong_credentials_and_hostile_token_services_are_refused() {
  reset_registry
  refused_image 'authentication required' private
  refused_image 'authentication required' private --creds visitor:wrong
  refused_image 'token' token-endless --creds "$credentials"
  refused_image 'token' token-with-header --creds "$credentials"
  refused_image 'authentication required' token-never-enough --creds "$credentials"
  refused_image 'token.*neither http nor https' token-from-file --creds "$credentials"
  refused_image 'token from http://169.254.169.254/token: .*link-local' token-from-link-local --creds "$credentials"
  refused_image 'authentication required|token' challenge-garbage --creds "$credentials"
}

test_tls_errors_say_what_is_wrong() {
  reset_registry
  crictl pull 127.0.0.1:5003/good
  crictl rmi 127.0.0.1:5003/good
  refused_image 'SSL.*(subject name|alternative)' localhost:5003/good
  refused_image 'certificate' 127.0.0.2:5003/good
  refused_image 'SSL|TLS' 127.0.0.3:5003/good
  refused_image 'registry http://127.0.0.1:5003' 127.0.0.4:5003/good
  refused_image 'from https to http' 127.0.0.1:5003/manifest-redirect-to-http
}
