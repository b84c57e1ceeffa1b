set -e
if [ ! -e "$PGDATA/PG_VERSION" ]; then
  initdb --username=app --auth=trust --locale=C --encoding=UTF8 --no-sync
  echo "host all all all trust" >>"$PGDATA/pg_hba.conf"
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
