# Images below "signed" of the suite's registry, and of the node's own, need a signature by one of the suite's keys.
# shellcheck shell=bash disable=SC2154,SC2317  # $scratch is the runner's; called by name

# shellcheck source=tests/image_suite/image_lib.sh
source ./image_lib.sh

readonly signing=/etc/cri-nspawn/tests/signing

# unsigned_image PATTERN REPOSITORY: as refused_image, with the reason that a kubelet looks for and no layer asked for.
unsigned_image() {
  refused_image "$1" "signed/$2"
  contains "$(crictl pull "$suite_registry/signed/$2" 2>&1)" \
    "code = Unknown desc = SignatureValidationFailed: pull $suite_registry/signed/$2:latest: .*$1"
}

test_signed_images_are_pulled_whatever_the_key_and_the_form() {
  local name
  reset_registry
  for name in by-ecdsa by-rsa by-ed25519 second-of-two index-signed manifest-of-index-signed bundle-by-api bundle-by-tag; do
    pulled "signed/$name"
  done
}

test_images_without_a_signature_that_counts_are_refused() {
  reset_registry
  unsigned_image 'a signature is required, but there is none' unsigned
  unsigned_image 'not by a key that is trusted' by-stranger
  unsigned_image 'for another digest, sha256:' of-another-image
  unsigned_image 'by-ecdsa.*does not accept' for-another-name
  unsigned_image 'not by a key that is trusted' changed-afterwards
  unsigned_image 'not by a key that is trusted' bundle-by-stranger
  unsigned_image 'no signature but of type .*slsa' attested-only
# No layer is asked for: only the configuration, and what is signed.
  blobs() { requests "[.[] | select(.path | test(\"signed/$1/blobs/\")) | .path] | unique | length"; }
  equals 1 "$(blobs unsigned)" 'the number of blobs asked for'
  equals 2 "$(blobs by-stranger)" 'the number of blobs asked for'
}

test_hostile_signatures_are_bounded() {
  reset_registry
  unsigned_image 'bytes allowed' payload-endless
  unsigned_image 'states 10' payload-longer-than-stated
  unsigned_image 'not by a key that is trusted' many-signatures
  equals true "$(requests '[.[] | select(.path | test("many-signatures/blobs/"))] | length < 300')"
  unsigned_image 'not found' many-referrers
  equals true "$(requests '[.[] | select(.path | test("many-referrers/manifests/"))] | length < 150')"
  unsigned_image 'not valid JSON' signatures-garbage
  refused_image '4194304 bytes allowed' signed/signatures-endless
  # It sends a byte and no more: either of the two bounds on slowness may see it first.
  refused_image ' 2 seconds' signed/signatures-stall
}

test_a_present_image_is_refused_without_its_signature() {
  local id image=$suite_registry/signed/unsigned
  reset_registry
  # An image comes from the node's own disk without any policy.
  python3 - "$scratch/layout" <<'PYTHON'
import sys
from signed_images import Image, entry, tar
Image(tar(entry("file", data=b"unsigned"))).write_layout(sys.argv[1])
PYTHON
  id=$(cri-nspawn-image --output json import "$scratch/layout" | jq -r '.[0].id')
  [[ $id == sha256:* ]] || fail "the import gave '$id'"
  contains "$(crictl pull "$image" 2>&1)" SignatureValidationFailed
  equals 1 "$(requests '[.[] | select(.path | test("signed/unsigned/blobs/"))] | length')" 'the number of blobs asked for'
  crictl rmi "$id"
}

test_other_stores_are_under_the_policy_too() {
  reset_registry
  refused 'SignatureValidationFailed: pull .*there is none' \
    cri-nspawn-image --store "$scratch/store" pull -q "$suite_registry/signed/unsigned"
  cri-nspawn-image --store "$scratch/store" pull -q "$suite_registry/signed/by-ecdsa"
  refused 'SignatureValidationFailed' cri-nspawn-image pull -q "$suite_registry/signed/unsigned"
  refused 'SignatureValidationFailed' cri-nspawn-image attach "$suite_registry/signed/unsigned"
}

test_a_policy_that_asks_for_what_is_not_supported_keeps_the_daemon_from_starting() {
  sed 's|^signature_policy.*|signature_policy = "/run/policy.json"|' /etc/cri-nspawn/config.toml >"$scratch/config.toml"
  check() { cri-nspawnd --check-config --config "$scratch/config.toml"; }
  refused '/run/policy.json.*No such file' check
  echo '{"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}]}' >/run/policy.json
  refused 'policy.json: "default", requirement 1: "signedBy" is not supported' check
  jq -n --arg key "$signing/ecdsa.pub" '{default: [{type: "sigstoreSigned", keyPath: $key, rekorPublicKeyPath: $key}]}' >/run/policy.json
  refused '"rekorPublicKeyPath" is not supported' check
  jq -n --arg key "$signing/ecdsa.pub" '{default: [{type: "sigstoreSigned", keyPath: $key}]}' >/run/policy.json
  check
  rm /run/policy.json
}

# cosign on an image of the node's own registry; nothing leaves the node.
signed_by_cosign() {
  COSIGN_PASSWORD='' cosign sign --yes --key "$signing/cosign.key" --tlog-upload=false --use-signing-config=false \
    --allow-http-registry "$@"
}

# pushed NAME puts an image below "signed" of the node's registry and prints it with its digest.
pushed() {
  local image=$registry/signed/$1
  skopeo copy -q --dest-tls-verify=false --src-tls-verify=false "docker://$base" "docker://$image:1"
  printf '%s@%s\n' "$image" "$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$image:1")"
}

test_what_cosign_signs_is_pulled() {
  local image form
  command -v cosign >/dev/null || skip 'there is no cosign'
  [[ -e $signing/cosign.key ]] || fail 'the setup has made no key with cosign'
  for form in false true; do
    image=$(pushed "cosign-bundle-$form")
    echo "-- $image"
    contains "$(crictl pull "$image" 2>&1)" 'SignatureValidationFailed.*there is none'
    signed_by_cosign --new-bundle-format="$form" "$image"
    crictl pull "$image"
    crictl pull "${image%@*}:1"
  done
}
