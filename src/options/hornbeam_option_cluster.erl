%%% The type of the option `cluster': where the nodes of a cluster are; and what holds for the options of a cluster together.
%%%
%%% Reads the texts "static:ADDRESS,NAME@ADDRESS", "dns:HOST", "srv:NAME", "folder:PATH", "local", and in Erlang the same as {static, [Entry]},
%%% {dns, Host}, {srv, Name}, {folder, Path}, local. A map (a table in a configuration file) stands for several options: expand/1 makes them of it,
%%% `discovery' is `cluster' itself, every other key that of the option with "cluster_" before it.
%%% Called through hornbeam_option_types; expand/1 and entries/1 by hornbeam_options, hornbeam_option_sources and hornbeam_reload, checks/1 by
%%% hornbeam_option_table, complete/1 by hornbeam_options, is_address/1 by hornbeam_option_table_cluster. Calls hornbeam_option_text, _folder. Pure.
-module(hornbeam_option_cluster).

-behaviour(hornbeam_option_types).

-export([check/1, anchor/2, format/1, describe/0]).
-export([expand/1, entries/1, checks/1, complete/1, is_address/1, node_name/2]).
-export_type([discovery/0, member/0]).

-type discovery() :: {static, [member(), ...]} | {dns, Host :: binary()} | {srv, Name :: binary()} | {folder, Path :: binary()} | local.

%% A node's name before its "@", <<>> where it is the cluster's, and its address.
-type member() :: {Name :: binary(), Address :: binary()}.

-define(MAX_MEMBERS, 100).

-spec check(term()) -> {ok, discovery()} | hornbeam_option_types:problem().
check(local) ->
    {ok, local};
check({Kind, Given} = Whole) when Kind =:= static; Kind =:= dns; Kind =:= srv; Kind =:= folder ->
    checked(Kind, Given, Whole);
check(Given) ->
    case hornbeam_option_text:is_text(Given) andalso hornbeam_option_text:to_text(Given) of
        {ok, <<"local">>} -> {ok, local};
        {ok, <<"static:", Members/binary>>} ->
            checked(static, [string:trim(Member) || Member <- binary:split(Members, <<",">>, [global]), Member =/= <<>>], Given);
        {ok, <<"dns:", Host/binary>>} -> checked(dns, Host, Given);
        {ok, <<"srv:", Name/binary>>} -> checked(srv, Name, Given);
        {ok, <<"folder:", Path/binary>>} -> checked(folder, Path, Given);
        _ -> wrong(Given)
    end.

checked(static, [_ | _] = Members, Whole) when length(Members) =< ?MAX_MEMBERS ->
    Read = [member(Member) || Member <- Members],
    case {lists:member(error, Read), Read -- lists:usort(Read)} of
        {true, _} -> wrong(Whole);
        {false, []} -> {ok, {static, Read}};
        {false, [Twice | _]} -> {error, ["names ", member_text(Twice), " twice"]}
    end;
checked(folder, Given, Whole) ->
    case hornbeam_option_folder:check(Given) of
        {ok, Path} -> {ok, {folder, Path}};
        {error, _, _} -> wrong(Whole)
    end;
checked(Kind, Given, Whole) when Kind =/= static ->
    case hornbeam_option_text:to_text(Given) of
        {ok, Name} ->
            case is_host(Name, case Kind of dns -> ""; srv -> "_" end) of
                true -> {ok, {Kind, Name}};
                false -> wrong(Whole)
            end;
        error ->
            wrong(Whole)
    end;
checked(static, _, Whole) ->
    wrong(Whole).

member({Name, Address}) ->
    case {hornbeam_option_text:to_text(Name), hornbeam_option_text:to_text(Address)} of
        {{ok, <<>>}, {ok, A}} -> address_only(A);
        {{ok, N}, {ok, A}} -> named(N, A);
        _ -> error
    end;
member(Given) when is_atom(Given) -> member(atom_to_binary(Given));
member(Given) ->
    case hornbeam_option_text:to_text(Given) of
        {ok, Text} ->
            case binary:split(Text, <<"@">>) of
                [Address] -> address_only(Address);
                [Name, Address] -> named(Name, Address)
            end;
        error ->
            error
    end.

address_only(Address) ->
    case is_address(Address) of true -> {<<>>, Address}; false -> error end.

named(Name, Address) ->
    case re:run(Name, "^[a-zA-Z][a-zA-Z0-9_-]{0,63}$", [dollar_endonly]) of
        {match, _} -> case is_address(Address) of true -> {Name, Address}; false -> error end;
        nomatch -> error
    end.

%% @doc Whether a node may be reached at it and be named after it: an IPv4 address, or a name with a dot, since these are long names of Erlang's.
-spec is_address(binary()) -> boolean().
is_address(Text) ->
    case inet:parse_ipv4strict_address(binary_to_list(Text)) of
        {ok, _} -> true;
        {error, _} ->
            %% A name whose last label is of digits would be an address.
            is_host(Text, "") andalso binary:match(Text, <<".">>) =/= nomatch
                andalso re:run(Text, "\\.[0-9]+$", [{capture, none}]) =:= nomatch
    end.

is_host(Text, First) ->
    Label = ["[a-zA-Z0-9", First, "]([a-zA-Z0-9-]*[a-zA-Z0-9])?"],
    byte_size(Text) =< 253 andalso re:run(Text, ["^", Label, "(\\.", Label, ")*$"], [dollar_endonly, {capture, none}]) =:= match.

wrong(Given) -> {error, ["must be ", describe()], Given}.

-spec anchor(discovery(), binary()) -> {ok, discovery()}.
anchor({folder, Path}, Base) ->
    {ok, Absolute} = hornbeam_option_folder:anchor(Path, Base),
    {ok, {folder, Absolute}};
anchor(Discovery, _Base) ->
    {ok, Discovery}.

-spec format(discovery()) -> binary().
format(local) -> <<"local">>;
format({static, Members}) -> iolist_to_binary(["static:", lists:join(",", [member_text(Member) || Member <- Members])]);
format({Kind, Name}) -> <<(atom_to_binary(Kind))/binary, ":", Name/binary>>.

member_text({<<>>, Address}) -> Address;
member_text({Name, Address}) -> [Name, "@", Address].

-spec describe() -> iodata().
describe() -> "static:ADDRESS,..., dns:HOST, srv:NAME, folder:PATH or local".

%% @doc The node of a member. Only the operator's members and the addresses of discovery become atoms.
-spec node_name(member(), ClusterName :: atom()) -> node().
node_name({<<>>, Address}, ClusterName) -> binary_to_atom(<<(atom_to_binary(ClusterName))/binary, "@", Address/binary>>);
node_name({Name, Address}, _ClusterName) -> binary_to_atom(<<Name/binary, "@", Address/binary>>).

%% --- a map of them -------------------------------------------------------------------------------------------------

%% @doc Options with `cluster' as a map -> with an option for each of its keys.
-spec expand(#{term() => term()}) -> {ok, #{term() => term()}} | {error, {bad_option, term(), binary()}}.
expand(#{cluster := Section} = Given) when is_map(Section) ->
    Flat = [{key(Key), Value} || {Key, Value} <- maps:to_list(Section)],
    case [Key || {Key, _} <- Flat, Key =/= cluster, is_map_key(Key, Given)] of
        [] -> {ok, maps:merge(maps:remove(cluster, Given), maps:from_list(Flat))};
        [Twice | _] -> {error, {bad_option, Twice, <<"is given twice, beside cluster and in it">>}}
    end;
expand(Given) ->
    {ok, Given}.

key(discovery) -> cluster;
key(Key) when is_atom(Key) -> list_to_atom("cluster_" ++ atom_to_list(Key));
key(Key) -> Key.

%% @doc The same of a configuration file: [cluster].
-spec entries([{binary(), term()}]) -> [{binary(), term()}].
entries(Settings) ->
    lists:flatmap(fun({<<"cluster">>, Table}) when is_map(Table) ->
                          [{case Key of <<"discovery">> -> <<"cluster">>; _ -> <<"cluster_", Key/binary>> end, Value}
                           || {Key, Value} <- lists:sort(maps:to_list(Table))];
                     (Setting) -> [Setting]
                  end, Settings).

%% --- what holds for them together ----------------------------------------------------------------------------------

%% @doc Whether certificates are needed is asked when the links are opened: a node that is alive already has its own (hornbeam_cluster_distribution).
-spec checks(map()) -> ok | {error, {atom(), iodata()}}.
checks(#{cluster := <<>>}) -> ok;
checks(#{cluster_dir := <<>>, data_dir := <<>>}) -> {error, {cluster_dir, "is needed for a cluster, or data_dir"}};
checks(#{cluster := {static, Members}, cluster_size := Size}) when Size > length(Members) ->
    {error, {cluster_size, ["is more than the ", integer_to_binary(length(Members)), " nodes that cluster names"]}};
checks(#{cluster := local, cluster_size := Size}) when Size > 1 -> {error, {cluster_size, "is 1 in a cluster of this node alone"}};
checks(#{cluster := {Kind, _}, cluster_size := 0}) when Kind =/= static ->
    {error, {cluster_size, ["is needed with ", atom_to_binary(Kind), ": how many nodes found the cluster"]}};
checks(#{cluster_insecure := true} = Options) ->
    case files(Options) of
        [] -> ok;
        [Key | _] -> {error, {cluster_insecure, ["is true, but there is a ", Key]}}
    end;
checks(Options) ->
    case {files(Options), Options} of
        {[Key | _], #{cluster_cert := <<>>}} -> {error, {cluster_cert, ["is needed beside ", Key]}};
        {[Key | _], #{cluster_ca := <<>>}} -> {error, {cluster_ca, ["is needed beside ", Key]}};
        _ -> ok
    end.

files(Options) ->
    [Name || {Name, Key} <- [{"cluster_cert", cluster_cert}, {"cluster_key", cluster_key}, {"cluster_ca", cluster_ca}], map_get(Key, Options) =/= <<>>].

%% @doc Checked options, with what follows from others filled in: cluster_size and cluster_dir.
-spec complete(map()) -> {ok, map()}.
complete(#{cluster := <<>>} = Options) -> {ok, Options};
complete(#{cluster := Discovery, cluster_size := Size, cluster_dir := Dir, data_dir := DataDir} = Options) ->
    {ok, Options#{cluster_size := case Size of 0 -> members(Discovery); _ -> Size end,
                  cluster_dir := case Dir of <<>> -> filename:join(DataDir, <<"cluster">>); _ -> Dir end}}.

members({static, Members}) -> length(Members);
members(local) -> 1.
