%%% The addresses, for `hornbeam doctor': whether they can be listened on, and who has them where not.
%%%
%%% Called by: hornbeam_doctor. Calls: hornbeam_socket (probe/1), hornbeam_option_bind (format/1). Who has a port is found in /proc (Linux), as far as this user may look.
-module(hornbeam_doctor_ports).

-export([examine/2]).

-spec examine(Config :: map(), hornbeam_doctor:place()) -> [hornbeam_doctor:finding()].
examine(_Config, running) ->
    [];
examine(#{bind := Binds, metrics_bind := Metrics} = Config, not_running) ->
    [address(Bind, hornbeam_socket:probe(Bind)) || Bind <- Binds ++ Metrics ++ maps:get(dashboard_bind, Config, []), not is_fd(Bind)] ++ cluster(Config).

%% A descriptor is there when the server is started, and not now.
is_fd({fd, _}) -> true;
is_fd(_) -> false.

cluster(#{cluster := Cluster, cluster_port := Port, cluster_address := Address}) when Cluster =/= <<>>, Cluster =/= local ->
    case inet:getaddr(unicode:characters_to_list(Address), inet) of
        {ok, Ip} ->
            Bind = {tcp, Ip, Port, Address},
            [address(Bind, hornbeam_socket:probe(Bind))];
        {error, _} -> []
    end;
cluster(_) ->
    [].

address(Bind, ok) ->
    {ok, ["address: ", hornbeam_option_bind:format(Bind), " is free"], ""};
address({tcp, _, Port, _} = Bind, {error, eaddrinuse}) ->
    {wrong, ["address: ", hornbeam_option_bind:format(Bind), " is used by ", by(users(Port))], "Stop it (another Hornbeam: hornbeam stop), or take another port."};
address({unix, _} = Bind, {error, eaddrinuse}) ->
    {wrong, ["address: ", hornbeam_option_bind:format(Bind), " is answered on"], "Stop who listens there, or take another path."};
address(Bind, {error, eacces}) ->
    {wrong, ["address: ", hornbeam_option_bind:format(Bind), " may not be listened on"],
     "Ports below 1024 are for root, or who has CAP_NET_BIND_SERVICE (AmbientCapabilities in a systemd unit); folders of sockets must be writable."};
address(Bind, {error, eaddrnotavail}) ->
    {wrong, ["address: ", hornbeam_option_bind:format(Bind), " is none of this machine's"], "Take one of those that `ip address` shows, or 0.0.0.0 for all."};
address(Bind, {error, eexist}) ->
    {wrong, ["address: ", hornbeam_option_bind:format(Bind), " is there and is no socket"], "Take another path, or move the file away."};
address(Bind, {error, Reason}) ->
    {wrong, ["address: ", hornbeam_option_bind:format(Bind), ": ", inet:format_error(Reason)], ""}.

by([]) -> "another process";
by(Users) -> lists:join(", ", Users).

%% The sockets that listen on it, by their inodes; the processes that have one of them open.
users(Port) ->
    Inodes = [["socket:[", Inode, "]"] || File <- ["/proc/net/tcp", "/proc/net/tcp6"], Inode <- listening(file:read_file(File), Port)],
    Wanted = [lists:flatten(Inode) || Inode <- Inodes],
    lists:usort([user(Pid) || Wanted =/= [], {ok, Names} <- [file:list_dir("/proc")], Pid <- Names, hd(Pid) >= $0, hd(Pid) =< $9, has(Pid, Wanted)]).

listening({ok, Text}, Port) ->
    Hex = list_to_binary(io_lib:format(":~4.16.0B", [Port])),
    [binary_to_list(Inode) || Line <- tl(binary:split(Text, <<"\n">>, [global, trim_all])),
                              [_, Local, _, <<"0A">>, _, _, _, _, _, Inode | _] <- [binary:split(Line, <<" ">>, [global, trim_all])],
                              binary:longest_common_suffix([Local, Hex]) =:= 5];
listening({error, _}, _Port) ->
    [].

has(Pid, Wanted) ->
    Folder = "/proc/" ++ Pid ++ "/fd",
    case file:list_dir(Folder) of
        {ok, Numbers} -> lists:any(fun(Number) -> lists:member(target(Folder ++ "/" ++ Number), Wanted) end, Numbers);
        {error, _} -> false
    end.

target(Path) ->
    case file:read_link_all(Path) of
        {ok, Target} -> Target;
        {error, _} -> ""
    end.

user(Pid) ->
    Name = case file:read_file("/proc/" ++ Pid ++ "/comm") of
        {ok, Text} -> string:trim(Text);
        {error, _} -> "a process"
    end,
    [Name, " (pid ", Pid, ")"].
