%%% Where options come from besides a map: environment variables, flags of the command line, a configuration file,
%%% sys.config.
%%%
%%% Pure functions of a table of options, so that tests can pass their own. Called by hornbeam_options (and
%%% hornbeam_option_docs for the names); calls hornbeam_option_types, hornbeam_option_toml, hornbeam_option_aliases and
%%% hornbeam_option_text. Values are checked and
%%% normalised here, so that an error says where the value stands; paths are anchored later, by validate/1.
-module(hornbeam_option_sources).

-export([env/2, variable/2, args/2, written_args/2, file/3, app_env/2, flag/1, variable/1]).

-type spec() :: hornbeam_option_types:spec().
-type error() :: {error, hornbeam_options:error()}.

%% --- environment variables -----------------------------------------------------------------------------------------

-spec env(fun((string()) -> string() | false), [spec()]) -> {ok, map()} | error().
env(Getenv, Specs) ->
    Given = [{Spec, {Name, Texts}} || #{type := Type} = Spec <- Specs, {Name, Text} <- set_to(Getenv, Spec),
                                      [_ | _] = Texts <- [hornbeam_option_types:split(Type, Text)]],
    read(fun(#{type := Type}, {_, Texts}) -> hornbeam_option_types:parse(Type, Texts) end,
         fun(_, {Name, _}) -> ["environment variable ", Name] end, Given, #{}).

%% The option's own variable, else what other servers read (hornbeam_option_aliases:variables/0).
set_to(Getenv, #{key := Key} = Spec) ->
    Others = [{Name, Translate} || {Name, K, Translate} <- hornbeam_option_aliases:variables(), K =:= Key],
    Set = [{Name, Translate(Text)} || {Name, Translate} <- [{variable(Spec), fun(Text) -> Text end} | Others],
                                      Text <- [Getenv(Name)], Text =/= false, Text =/= ""],
    lists:sublist(Set, 1).

%% @doc The variable that an option of env/2 was read from.
-spec variable(fun((string()) -> string() | false), spec()) -> string().
variable(Getenv, Spec) ->
    [{Name, _}] = set_to(Getenv, Spec),
    Name.

-spec variable(spec()) -> string().
variable(#{key := Key}) -> "HORNBEAM_" ++ string:uppercase(atom_to_list(Key)).

%% --- sys.config ----------------------------------------------------------------------------------------------------

%% Every key of the application's environment must be an option, so that a misspelt one is noticed;
%% included_applications is what OTP itself puts there.
-spec app_env([{atom(), term()}], [spec()]) -> {ok, map()} | error().
app_env(Env, Specs) ->
    Known = maps:from_list([{Key, Spec} || #{key := Key} = Spec <- Specs]),
    case hornbeam_option_cluster:expand(maps:from_list(proplists:delete(included_applications, Env))) of
        {ok, Given} -> known_env(lists:sort(maps:to_list(Given)), Known);
        Error -> Error
    end.

known_env(Given, Known) ->
    case [Key || {Key, _} <- Given, not is_map_key(Key, Known)] of
        [] ->
            read(fun(_, Value) -> Value end, fun(_, _) -> "sys.config" end,
                 [{maps:get(Key, Known), Value} || {Key, Value} <- Given], #{});
        [Unknown | _] ->
            Names = hornbeam_option_text:names(maps:keys(Known)),
            Text = ["there is no such option", hornbeam_option_text:suggest(Unknown, Names), " (sys.config)"],
            {error, {bad_option, Unknown, unicode:characters_to_binary(Text)}}
    end.

%% --- a configuration file -------------------------------------------------------------------------------------------

%% Its keys and values as TOML has them. File: its name, for errors.
-spec file([{binary(), term()}], unicode:chardata(), [spec()]) -> {ok, map()} | error().
file(Settings, File, Specs) ->
    Names = maps:from_list([{unicode:characters_to_binary(Name), Spec}
                            || #{key := Key} = Spec <- Specs, Name <- [flag(Spec), underscores(flag(Spec)), atom_to_list(Key)]]),
    Found = [{hornbeam_option_toml:name(Key, Names), Key, Value} || {Key, Value} <- hornbeam_option_cluster:entries(Settings)],
    Keys = [Key || {{ok, #{key := Key}}, _, _} <- Found],
    case {[Key || {error, Key, _} <- Found], Keys -- lists:usort(Keys)} of
        {[], []} ->
            read(fun(#{type := Type}, Value) -> hornbeam_option_toml:given(Type, Value, Names) end, fun(_, _) -> File end,
                 [{Spec, Value} || {{ok, Spec}, _, Value} <- Found], #{});
        {[Unknown | _], _} ->
            Text = ["there is no such option", suggest_name(Unknown, Specs), " (", File, ")"],
            {error, {bad_option, Unknown, unicode:characters_to_binary(Text)}};
        {[], [Twice | _]} ->
            {error, {bad_option, Twice, unicode:characters_to_binary(["is given twice (", File, ")"])}}
    end.

%% In the way in which the unknown one is written.
suggest_name(Unknown, Specs) ->
    Names = lists:usort(lists:append([[underscores(flag(Spec)), atom_to_list(Key)] || #{key := Key} = Spec <- Specs])),
    case binary:match(Unknown, <<"-">>) of
        nomatch -> hornbeam_option_text:suggest(Unknown, Names);
        _ -> hornbeam_option_text:suggest(Unknown, [dashes(Name) || Name <- Names])
    end.

%% --- flags ---------------------------------------------------------------------------------------------------------

%% A flag that stands for a list may be repeated; of any other the last one counts. "--" ends the flags. Flags of other servers
%% (hornbeam_option_aliases) are taken for what they mean here.
-spec args([string()], [spec()]) ->
    {ok, Positional :: [string()], map()} | error() | {error, {usage, binary()}}.
args(Args, Specs) ->
    case written_args(Args, Specs) of
        {ok, Positional, Given, _} -> {ok, Positional, Given};
        Error -> Error
    end.

%% And the flags that each option was given by, as they were written.
-spec written_args([string()], [spec()]) ->
    {ok, Positional :: [string()], map(), Written :: #{atom() => iolist()}} | error() | {error, {usage, binary()}}.
written_args(Args, Specs) ->
    case [Arg || Arg <- Args, hornbeam_option_text:to_text(Arg) =:= error] of
        [] -> text_args(Args, Specs);
        _ -> {error, {usage, <<"an argument is not Unicode text">>}}
    end.

%% What the command line has said so far; what is said of each option is last first, with the flags as they were written.
-record(said, {
    flags :: #{string() => {spec(), value | string()}},
    specs :: #{atom() => spec()},
    positional = [] :: [string()],
    given = [] :: [{atom(), [{Text :: string(), Flag :: string()}]}],
    implied = [] :: [{atom(), string(), Flag :: string()}],
    empty = [] :: [{atom(), Flag :: string()}],
    parts = #{} :: #{hornbeam_option_aliases:part() => string()}
}).

text_args(Args, Specs) ->
    Said = #said{flags = maps:from_list(lists:flatmap(fun flags/1, Specs)), specs = maps:from_list([{Key, Spec} || #{key := Key} = Spec <- Specs])},
    case split_args(Args, Said) of
        {ok, #said{positional = Positional} = All} -> said(lists:reverse(Positional), All);
        {error, Text} -> usage(Text)
    end.

usage(Text) -> {error, {usage, unicode:characters_to_binary(Text)}}.

said(Positional, #said{parts = Parts, given = Given0} = Said0) ->
    Last = fun(Key) -> case lists:keyfind(Key, 1, Given0) of {_, [{Text, _} | _]} -> {ok, Text}; false -> error end end,
    case hornbeam_option_aliases:finish(Parts, Last) of
        {ok, Settings} ->
            #said{specs = Specs} = Said = lists:foldl(fun(Setting, S) -> set(Setting, written(maps:keys(Parts)), S) end, Said0, Settings),
            Given = [{maps:get(Key, Specs), Texts} || {Key, Texts} <- all_given(Said)],
            Parse = fun(#{type := Type}, Texts) -> hornbeam_option_types:parse(Type, [Text || {Text, _} <- Texts]) end,
            Flags = fun(Texts) -> ["flag ", lists:join(", ", lists:usort([Flag || {_, Flag} <- Texts]))] end,
            case read(Parse, fun(_, Texts) -> Flags(Texts) end, Given, #{}) of
                {ok, Map} ->
                    Empty = Said#said.empty,
                    Written = [{Key, Flags(Texts)} || {#{key := Key}, Texts} <- Given] ++ [{Key, ["flag ", Flag]} || {Key, Flag} <- Empty],
                    {ok, Positional, maps:merge(Map, maps:from_list([{Key, []} || {Key, _} <- Empty])), maps:from_list(Written)};
                Error -> Error
            end;
        {error, Text} ->
            usage(Text)
    end.

written(Parts) ->
    lists:flatten(lists:join(", ", ["--" ++ Name || {Part, Name} <- [{host, "host"}, {port, "port"}], lists:member(Part, Parts)])).

%% In the order of the command line; what is implied only where nothing is said.
all_given(#said{given = Given, implied = Implied, empty = Empty}) ->
    Stated = [{Key, lists:reverse(Texts)} || {Key, Texts} <- lists:reverse(Given), not lists:keymember(Key, 1, Empty)],
    Keys = [Key || {Key, _} <- Given ++ Empty],
    lists:foldl(fun({Key, Text, Flag}, Done) ->
                    case lists:member(Key, Keys) of
                        true -> Done;
                        false -> lists:keystore(Key, 1, Done, {Key, proplists:get_value(Key, Done, []) ++ [{Text, Flag}]})
                    end
                end, Stated, lists:reverse(Implied)).

%% The flag's name without the dashes.
-spec flag(spec()) -> string().
flag(#{flag := Flag}) -> Flag;
flag(#{key := Key}) -> dashes(atom_to_list(Key)).

dashes(Name) -> [case C of $_ -> $-; _ -> C end || C <- Name].

underscores(Name) -> [case C of $- -> $_; _ -> C end || C <- Name].

flags(#{type := Type} = Spec) when Type =:= boolean; Type =:= {auto, boolean} -> [{"--" ++ flag(Spec), {Spec, "true"}}, {"--no-" ++ flag(Spec), {Spec, "false"}}];
flags(Spec) -> [{"--" ++ flag(Spec), {Spec, value}}].

split_args(["--" | Rest], #said{positional = Positional} = Said) ->
    {ok, Said#said{positional = lists:reverse(Rest, Positional)}};
split_args(["--" ++ _ = Arg | Rest], Said) ->
    [Flag | Value] = string:split(Arg, "="),
    flag(Flag, Value, Rest, Said);
%% -w 4, -w4, -w=4
split_args([[$-, C | Joined] | Rest], Said) ->
    flag([$-, C], case Joined of "" -> []; "=" ++ Value -> [Value]; _ -> [Joined] end, Rest, Said);
split_args([Arg | Rest], #said{positional = Positional} = Said) ->
    split_args(Rest, Said#said{positional = [Arg | Positional]});
split_args([], Said) ->
    {ok, Said}.

flag(Flag, Value, Rest, #said{flags = Flags} = Said) ->
    case {hornbeam_option_aliases:find(Flag), Flags} of
        {{ok, {more, Rule}}, #{Flag := _}} -> alias(Flag, Rule, Value, Rest, Said);
        {_, #{Flag := {Spec, Takes}}} -> own(Flag, Spec, Takes, Value, Rest, Said);
        {{ok, Rule}, _} when Rule =/= same, Rule =/= unlike -> alias(Flag, Rule, Value, Rest, Said);
        _ -> {error, unknown(Flag, Flags)}
    end.

own(Flag, #{key := Key}, value, Value, Rest, Said) ->
    case value(Flag, Value, Rest) of
        {ok, Text, Left} -> split_args(Left, set({Key, Text}, Flag, Said));
        {error, Text} -> {error, Text}
    end;
own(Flag, #{key := Key}, Text, [], Rest, Said) -> split_args(Rest, set({Key, Text}, Flag, Said));
own(Flag, #{key := Key}, "true", [Text], Rest, Said) -> split_args(Rest, set({Key, Text}, Flag, Said));
own(Flag, _, "false", [_], _, _) -> {error, ["the flag ", Flag, " takes no value"]}.

alias(Flag, Rule, Value, Rest, Said) ->
    Taken = case Value =:= [] andalso hornbeam_option_aliases:takes(Rule, Rest) of
        true -> value(Flag, [], Rest);
        false when Value =:= [] -> {ok, none, Rest};
        false -> value(Flag, Value, Rest)
    end,
    case Taken of
        {ok, Text, Left} ->
            case hornbeam_option_aliases:settings(Flag, Rule, Text) of
                {ok, Settings} -> split_args(Left, lists:foldl(fun(Setting, S) -> set(Setting, Flag, S) end, Said, Settings));
                {error, Why} -> {error, Why}
            end;
        {error, Why} ->
            {error, Why}
    end.

value(_, [Text], Rest) -> {ok, Text, Rest};
value(Flag, [], ["--" ++ _ | _]) -> {error, ["the flag ", Flag, " needs a value"]};
value(_, [], [Text | Left]) -> {ok, Text, Left};
value(Flag, [], []) -> {error, ["the flag ", Flag, " needs a value"]}.

unknown(Flag, Flags) ->
    ["unknown flag ", Flag, hornbeam_option_text:suggest(Flag, maps:keys(Flags) ++ hornbeam_option_aliases:names())].

%% The lists are short: they hold the different flags that one command line gives.
set({implied, Key, Text}, Flag, #said{implied = Implied} = Said) ->
    Said#said{implied = [{Key, Text, Flag} | Implied]};
set({empty, Key}, Flag, #said{empty = Empty} = Said) ->
    Said#said{empty = [{Key, Flag} | Empty]};
set({part, Part, Text}, _Flag, #said{parts = Parts} = Said) ->
    Said#said{parts = Parts#{Part => Text}};
set({Key, Text}, Flag, #said{given = Given} = Said) ->
    case lists:keyfind(Key, 1, Given) of
        {_, Texts} -> Said#said{given = lists:keyreplace(Key, 1, Given, {Key, [{Text, Flag} | Texts]})};
        false -> Said#said{given = [{Key, [{Text, Flag}]} | Given]}
    end.

%% --- all of them -----------------------------------------------------------------------------------------------------

read(Parse, Where, [{#{key := Key} = Spec, Given} | Rest], Done) ->
    case hornbeam_option_types:value(Spec, Parse(Spec, Given)) of
        {ok, Value} ->
            read(Parse, Where, Rest, Done#{Key => Value});
        {error, {bad_option, Key, Reason}} ->
            {error, {bad_option, Key, unicode:characters_to_binary([Reason, " (", Where(Spec, Given), ")"])}}
    end;
read(_, _, [], Done) ->
    {ok, Done}.
