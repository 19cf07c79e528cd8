# Unpacks a server package of a Debian suite, with its libraries, and writes a file that runs it.
# usage: unpack.sh DIRECTORY SUITE PACKAGE
# It writes to DIRECTORY only. apt uses a sources file in DIRECTORY, with the mirror and the key of
# this machine's configuration.
set -euo pipefail
dir=$1 suite=$2 pkg=$3
mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | head -1) || true
key=$(ls /usr/share/keyrings/debian-archive-keyring.* 2>/dev/null | head -1) || true
[ -n "$mirror" ] && [ -n "$key" ] || { echo "apt has no Debian mirror"; exit 1; }
mkdir -p "$dir"/lists/partial "$dir"/cache/archives/partial "$dir"/debs "$dir"/root
echo "deb [signed-by=$key] $mirror $suite main" >"$dir"/sources.list
apt() {
  apt-get -o Dir::Etc::sourcelist="$dir"/sources.list -o Dir::Etc::sourceparts=/dev/null -o Dir::State::Lists="$dir"/lists \
    -o Dir::Cache="$dir"/cache -o Dir::State::status=/dev/null -o APT::Install-Recommends=0 \
    -o Acquire::Retries=0 -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10 "$@"
}
# By default, apt-get update only prints a warning if the mirror is unreachable.
apt -o APT::Update::Error-Mode=any -qq update >/dev/null || { echo "the package mirror is unreachable"; exit 1; }
# The server and the libraries it may need. The packages' other dependencies are not needed to run it.
uris=$(apt -y --print-uris install "$pkg" | grep -oE "'http[^']+'" | tr -d "'" | grep -E '/(redis|valkey|lib|zlib|lua)[^/]*$')
cd "$dir"/debs
for uri in $uris; do
  deb=$(basename "$uri")
  [ -f "$deb" ] || { curl -fsS --max-time 60 -o "$deb.part" "$uri" && mv "$deb.part" "$deb"; }
  dpkg -x "$deb" "$dir"/root
done
# Search by path: an old ld.so has its version in its name, and usrmerge packages have it under /usr.
ld=$(find "$dir"/root \( -name 'ld-linux-x86-64.so.2' -o -name 'ld-2*.so' \) -not -path '*/lib64/*' | head -1)
libs=$(find "$dir"/root -name '*.so*' -printf '%h\n' | sort -u | tr '\n' ':')
printf '#!/bin/sh\nexec %q --library-path %q %q "$@"\n' "$ld" "$libs" "$dir/root/usr/bin/$pkg" >"$dir/$pkg.new"
chmod +x "$dir/$pkg.new"
mv "$dir/$pkg.new" "$dir/$pkg"
