%%% The cluster's machine as a later release might have it, for a test of upgrades: its version is 2, and this module is that version's. Going over
%%% it writes down, as the keys `version' and `times', that it has; all else is as it was.
-module(later_machine).
-behaviour(ra_machine).

-export([code/0, init/1, apply/3, state_enter/2, snapshot_installed/4, version/0, which_module/1, overview/1]).

-define(MAX, 1 bsl 30).

%% @doc This module and hornbeam_cluster_machine of that release, which Ra asks for versions: compiled anew, with two functions changed.
-spec code() -> [{module(), binary()}].
code() ->
    {ok, {hornbeam_cluster_machine, [{abstract_code, {raw_abstract_v1, Forms}}]}} = beam_lib:chunks(code:which(hornbeam_cluster_machine), [abstract_code]),
    {ok, hornbeam_cluster_machine, Changed} = compile:forms([changed(Form) || Form <- Forms], [debug_info]),
    {ok, Own} = file:read_file(code:which(?MODULE)),
    [{hornbeam_cluster_machine, Changed}, {?MODULE, Own}].

changed({attribute, Line, spec, {{version, 0}, _}}) -> form(Line, "-spec version() -> 2.");
changed({function, Line, version, 0, _}) -> form(Line, "version() -> 2.");
changed({function, Line, which_module, 1, _}) -> form(Line, "which_module(2) -> later_machine; which_module(_) -> hornbeam_cluster_machine.");
changed(Form) -> Form.

form(Line, Text) ->
    {ok, Tokens, _} = erl_scan:string(Text, Line),
    {ok, Form} = erl_parse:parse_form(Tokens),
    Form.

init(Config) -> hornbeam_cluster_machine:init(Config).

apply(Meta, {machine_version, 1, 2} = Command, Machine0) ->
    {Machine1, ok} = hornbeam_cluster_machine:apply(Meta, Command, Machine0),
    Two = term_to_binary(2, [deterministic]),
    Writes = [{1, {kv, {put, <<"version">>, Two, infinity, ?MAX}}}, {2, {kv, {incr, <<"times">>, 1, infinity, ?MAX}}}],
    hornbeam_cluster_machine:apply(Meta, hornbeam_cluster_machine:command({upgrade, 1}, 1, Writes), Machine1);
apply(Meta, Command, Machine) ->
    hornbeam_cluster_machine:apply(Meta, Command, Machine).

state_enter(Entered, Machine) -> hornbeam_cluster_machine:state_enter(Entered, Machine).

snapshot_installed(Meta, Machine, OldMeta, Old) -> hornbeam_cluster_machine:snapshot_installed(Meta, Machine, OldMeta, Old).

version() -> 2.

which_module(2) -> ?MODULE;
which_module(_) -> hornbeam_cluster_machine.

overview(Machine) -> hornbeam_cluster_machine:overview(Machine).
