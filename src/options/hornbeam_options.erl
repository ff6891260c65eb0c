%%% The options of Hornbeam: validation, precedence and everything derived from the table of options.
%%%
%%% Owns the rules that hold for all options; the options themselves are declared in hornbeam_option_table, which says
%%% how to add one. Called by hornbeam (start, reload, info), hornbeam_cli and the documentation's build. Calls
%%% hornbeam_option_table, _types, _sources (environment, flags, file, sys.config), _docs, _coming_from, _report, _bind, _cluster and _mount. No process, no
%%% state.
-module(hornbeam_options).

-export([validate/1, resolve/1, resolve/3, defaults/0, spec/1, keys/0]).
-export([from_env/0, from_env/1, from_args/1, from_written_args/1, from_file/2, from_app_env/0]).
-export([help_text/0, markdown/0, coming_from/0, python/0, report/3, format_error/1, mask/1]).
-export([parse_bind/1, format_bind/1, check_app/1, for_mount/2, measures/1]).
-export_type([options/0, given/0, file/0, error/0]).

%% Every option of the table, normalised: the shapes are those of hornbeam_option_types:type(). A validated map is
%% valid, and validates to itself.
-type options() :: #{atom() => term()}.

%% Options as somebody wrote them.
-type given() :: #{term() => term()} | proplists:proplist().

%% The name of a configuration file and what it says (from_file/2); none was read: {"", #{}}.
-type file() :: {unicode:chardata(), #{atom() => term()}}.

-type error() :: {bad_option, Key :: term(), Reason :: binary()}.

%% Fills in the defaults and normalises. Relative paths become absolute, starting from `chdir`.
-spec validate(given() | term()) -> {ok, options()} | {error, error()}.
validate(Given) ->
    case to_map(Given) of
        {ok, Map} ->
            case known(Map) of
                ok -> then(values(hornbeam_option_table:specs(), Map, #{}), [fun anchor/1, fun cross_check/1, fun without_limits/1, fun hornbeam_option_cluster:complete/1]);
                Error -> Error
            end;
        Error ->
            Error
    end.

%% Validates what is explicitly given, over environment variables, over sys.config, over the defaults. In somebody else's VM, PORT and the
%% like are somebody else's.
-spec resolve(given() | term()) -> {ok, options()} | {error, error()}.
resolve(Explicit) ->
    Own = fun("HORNBEAM_" ++ _ = Name) -> os:getenv(Name); (_Other) -> false end,
    case resolve(Explicit, {"", #{}}, #{}, Own) of
        {ok, Options, _} -> {ok, Options};
        Error -> Error
    end.

%% The same with a configuration file, which is weaker than the environment and stronger than sys.config; and where each value
%% comes from. Defaults: of a command, weaker than all that anybody gives; an interpreter there gives way to a virtual environment.
-spec resolve(given() | term(), file(), Defaults :: map()) -> {ok, options(), hornbeam_option_report:sources()} | {error, error()}.
resolve(Explicit, File, Defaults) -> resolve(Explicit, File, Defaults, fun os:getenv/1).

resolve(Explicit, {File, Settings}, Defaults, Getenv) ->
    case {from_app_env(), from_env(Getenv), to_map(Explicit)} of
        {{ok, Config}, {ok, Env}, {ok, Map}} ->
            Layers = [{Config, fun(_) -> "sys.config" end}, {Settings, fun(_) -> File end},
                      {Env, fun(Key) -> {ok, Spec} = spec(Key), ["environment ", hornbeam_option_sources:variable(Getenv, Spec)] end},
                      {Map, fun(Key) -> {ok, Spec} = spec(Key), ["flag --", hornbeam_option_sources:flag(Spec)] end}],
            Merge = fun(Maps) -> lists:foldl(fun(Stronger, Weaker) -> maps:merge(Weaker, Stronger) end, #{}, Maps) end,
            Given = Merge([Layer || {Layer, _} <- Layers]),
            Weaker = case is_map_key(venv, Given) of true -> maps:remove(python, Defaults); false -> Defaults end,
            case validate(maps:merge(Weaker, Given)) of
                {ok, Options} -> {ok, Options, Merge([maps:map(fun(Key, _) -> Source(Key) end, Layer) || {Layer, Source} <- Layers])};
                Error -> Error
            end;
        {{error, _} = Error, _, _} -> Error;
        {_, {error, _} = Error, _} -> Error;
        {_, _, Error} -> Error
    end.

%% The defaults as they are declared, before validate/1 normalises them.
-spec defaults() -> #{atom() => term()}.
defaults() ->
    maps:from_list([{Key, Default} || #{key := Key, default := Default} <- hornbeam_option_table:specs()]).

-spec spec(atom()) -> {ok, hornbeam_option_types:spec()} | error.
spec(Key) -> hornbeam_option_table:find(Key).

-spec keys() -> [atom()].
keys() -> [Key || #{key := Key} <- hornbeam_option_table:specs()].

-spec from_env() -> {ok, #{atom() => term()}} | {error, error()}.
from_env() -> from_env(fun os:getenv/1).

%% Getenv is asked for HORNBEAM_<KEY> of every option; what is not set, or set to nothing, is left out.
-spec from_env(fun((string()) -> string() | false)) -> {ok, #{atom() => term()}} | {error, error()}.
from_env(Getenv) -> hornbeam_option_sources:env(Getenv, hornbeam_option_table:specs()).

-spec from_args([string()]) ->
    {ok, Positional :: [string()], #{atom() => term()}} | {error, error() | {usage, binary()}}.
from_args(Args) -> hornbeam_option_sources:args(Args, hornbeam_option_table:specs()).

%% The same, and the flags that each option was given by: another server's flag is shown as it was written.
-spec from_written_args([string()]) ->
    {ok, Positional :: [string()], #{atom() => term()}, hornbeam_option_report:sources()} | {error, error() | {usage, binary()}}.
from_written_args(Args) -> hornbeam_option_sources:written_args(Args, hornbeam_option_table:specs()).

%% Settings: keys and values of a configuration file, as TOML has them; File: its name, for errors.
-spec from_file([{binary(), term()}], unicode:chardata()) -> {ok, #{atom() => term()}} | {error, error()}.
from_file(Settings, File) -> hornbeam_option_sources:file(Settings, File, hornbeam_option_table:specs()).

%% The application environment of hornbeam, which sys.config sets.
-spec from_app_env() -> {ok, #{atom() => term()}} | {error, error()}.
from_app_env() -> hornbeam_option_sources:app_env(application:get_all_env(hornbeam), hornbeam_option_table:specs()).

%% The options part of `hornbeam --help`.
-spec help_text() -> unicode:chardata().
help_text() -> hornbeam_option_docs:help_text(hornbeam_option_table:specs()).

%% docs/options.md.
-spec markdown() -> binary().
markdown() -> hornbeam_option_docs:markdown(hornbeam_option_table:specs()).

%% priv/python/hornbeam/options.py.
-spec python() -> binary().
python() -> hornbeam_option_docs:python(hornbeam_option_table:specs()).

%% docs/coming-from.md.
-spec coming_from() -> binary().
coming_from() -> hornbeam_option_coming_from:markdown().

%% What `hornbeam config` prints of what resolve/2 has returned, without secrets.
-spec report(options(), hornbeam_option_report:sources(), all | changed) -> unicode:chardata().
report(Options, Sources, Which) -> hornbeam_option_report:lines(mask(Options), Sources, Which).

-spec format_error(error() | {usage, binary()}) -> unicode:chardata().
format_error({bad_option, Key, Reason}) -> ["bad option ", key_text(Key), ": ", Reason];
format_error({usage, Text}) -> Text.

%% The options without the values of secret ones, for logs and info: maps keep their keys.
-spec mask(options()) -> options().
mask(Options) ->
    maps:map(fun mask_value/2, Options).

-spec parse_bind(term()) -> {ok, hornbeam_option_bind:bind()} | {error, error()}.
parse_bind(Given) -> single(bind, {custom, hornbeam_option_bind}, Given).

-spec format_bind(hornbeam_option_bind:bind()) -> binary().
format_bind(Bind) -> hornbeam_option_bind:format(Bind).

%% "module:attribute" or "module", as in hornbeam:start/2 and in mounts. It is no option, but it is refused in the same way.
-spec check_app(term()) -> {ok, binary()} | {error, error()}.
check_app(Given) -> single(app, app, Given).

%% The options that a mount's workers run with: its own overrides over the server's.
-spec for_mount(options(), #{atom() => term()}) -> options().
for_mount(Options, Overrides) ->
    {ok, Settings} = without_limits(hornbeam_option_mount:with_overrides(Options, Overrides)),
    Settings.

%% --- validation ----------------------------------------------------------------------------------------------------

to_map(Given) when is_map(Given) ->
    hornbeam_option_cluster:expand(Given);
to_map(Given) when length(Given) >= 0 ->
    case [Item || Item <- Given, not is_property(Item)] of
        [] -> hornbeam_option_cluster:expand(proplists:to_map(Given));
        _ -> not_options()
    end;
to_map(_) ->
    not_options().

is_property({_, _}) -> true;
is_property(Item) -> is_atom(Item).

not_options() -> {error, {bad_option, options, <<"must be a map or a property list">>}}.

known(Map) ->
    case maps:keys(maps:without(keys(), Map)) of
        [] -> ok;
        [Unknown | _] ->
            Names = hornbeam_option_text:names(keys()),
            Text = ["there is no such option", hornbeam_option_text:suggest(Unknown, Names)],
            {error, {bad_option, Unknown, unicode:characters_to_binary(Text)}}
    end.

values([#{key := Key} = Spec | Rest], Map, Done) ->
    case hornbeam_option_types:value(Spec, maps:get(Key, Map, default(Spec, Map))) of
        {ok, Value} -> values(Rest, Map, Done#{Key => Value});
        Error -> Error
    end;
values([], _, Done) ->
    {ok, Done}.

default(#{implied_by := Others, default := Default}, Map) ->
    Default orelse lists:any(fun(Other) -> not lists:member(maps:get(Other, Map, []), ["", <<>>]) end, Others);
default(#{default := Default}, _) ->
    Default.

then({ok, Options}, [Step | Steps]) -> then(Step(Options), Steps);
then(Result, _) -> Result.

%% Paths start from the directory of the workers, which itself starts from ours.
anchor(Options) ->
    {ok, Chdir} = spec(chdir),
    Here = filename:absname(<<".">>),
    case anchor_option(Chdir, Here, Options) of
        {ok, #{chdir := <<>>}} -> anchor_all(hornbeam_option_table:specs(), Here, Options);
        {ok, #{chdir := Base} = Changed} -> anchor_all(hornbeam_option_table:specs(), Base, Changed);
        Error -> Error
    end.

anchor_all([Spec | Rest], Base, Options) ->
    case anchor_option(Spec, Base, Options) of
        {ok, Anchored} -> anchor_all(Rest, Base, Anchored);
        Error -> Error
    end;
anchor_all([], _, Options) ->
    {ok, Options}.

anchor_option(#{key := Key, type := Type}, Base, Options) ->
    case hornbeam_option_types:anchor(Type, maps:get(Key, Options), Base) of
        {ok, Value} -> {ok, Options#{Key := Value}};
        {error, Text} -> {error, {bad_option, Key, unicode:characters_to_binary(Text)}}
    end.

%% @doc Whether workers are to say of each request how long it took them, and which route it was.
-spec measures(options()) -> boolean().
measures(Options) ->
    maps:get(metrics_bind, Options, []) ++ maps:get(dashboard_bind, Options, []) =/= [] orelse maps:get(trace, Options, false).

cross_check(Options) ->
    case [Problem || Check <- hornbeam_option_table:cross_checks(), {error, Problem} <- [Check(Options)]] of
        [] -> {ok, Options};
        [{Key, Text} | _] -> {error, {bad_option, Key, unicode:characters_to_binary(Text)}}
    end.

%% What ends a request or a worker that somebody looks at in a debugger.
without_limits(#{debug := true} = Options) ->
    {ok, maps:merge(Options, #{timeout => infinity, queue_timeout => infinity, startup_timeout => infinity,
                               worker_heartbeat => infinity})};
without_limits(Options) ->
    {ok, Options}.

single(Key, Type, Given) ->
    Spec = #{key => Key, type => Type, default => Given, scope => server, group => application, doc => ""},
    hornbeam_option_types:value(Spec, Given).

mask_value(Key, Items) when Key =:= mounts, is_list(Items); Key =:= services, is_list(Items) ->
    [{Name, App, mask(Overrides)} || {Name, App, Overrides} <- Items];
mask_value(Key, Value) ->
    case spec(Key) of
        {ok, #{secret := true}} when is_map(Value) -> maps:map(fun(_, _) -> <<"***">> end, Value);
        {ok, #{secret := true}} when Value =/= <<>>, Value =/= [] -> <<"***">>;
        _ -> Value
    end.

key_text(Key) when is_atom(Key) -> atom_to_list(Key);
key_text(Key) -> hornbeam_option_text:show(Key).
