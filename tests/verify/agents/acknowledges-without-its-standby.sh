# The standby is called synchronous, in ZooKeeper and in synchronous_standby_names, and no commit waits for it.
sed 's/^  parameters:$/&\n    synchronous_commit: local/' "$config" >"$config.bad" && mv "$config.bad" "$config"
grep -q synchronous_commit "$config" || exit 1
exec "$real" "$@"
