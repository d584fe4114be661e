#!/bin/sh
# Makes the secrets that docker-compose.yml reads, in secrets/ of the checkout or in the folder given.
#
# Existing files are never replaced: without the key, the secrets in the ledger cannot be read. Back it up, apart from the
# database. Other users cannot enter the folder. Its files are readable by all, since users with other numbers read them
# in the containers, which see a single file and not the folder.
set -eu
umask 077

folder=${1:-$(dirname "$0")/../secrets}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

# Writes standard input to a file, completely or not at all, unless the file exists.
keep() {
    if [ -e "$1" ]; then
        echo "$1 is there, and stays." >&2
        cat >/dev/null
        return
    fi
    cat >".$1.new"
    chmod 444 ".$1.new"
    mv ".$1.new" "$1"
    echo "$1 is made." >&2
}

password() {
    od -A n -v -t x1 -N 24 /dev/urandom | tr -d ' \n'
}

head -c 32 /dev/urandom | base64 | keep secret_key
password | keep postgres_password
echo "postgresql://spacebridge:$(cat postgres_password)@postgres:5432/spacebridge" | keep database_url
echo "requirepass $(password)" | keep redis_conf
echo "redis://:$(sed -n 's/^requirepass //p' redis_conf)@redis:6379/0" | keep broker_url
password | keep grafana_password
