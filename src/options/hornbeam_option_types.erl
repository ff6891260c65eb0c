%%% The types of options: what each accepts, what it normalises to, how it is read from text, how it is described.
%%%
%%% Pure but for the directories that anchor/3 looks for. Called by hornbeam_options, hornbeam_option_sources,
%%% hornbeam_option_mount, _report and _docs; calls hornbeam_option_text and the modules of {custom, Module}.
%%%
%%% A value goes through three steps. parse/2: text of a flag or a variable -> a term that the type may accept.
%%% check/2 (through value/2): a term as a user wrote it -> the normalised value. anchor/3: once `chdir` is known,
%%% relative paths -> absolute ones that exist. check and anchor leave a normalised value as it is. format/2 goes back: to
%%% what check/2 takes for the same, of the types that TOML has.
-module(hornbeam_option_types).

-export([value/2, check/2, parse/2, anchor/3, format/2, describe/1, split/2, is_multiple/1, has/3]).
-export_type([type/0, spec/0, problem/0]).

%% A kind of value that needs a module of its own.
-callback check(term()) -> {ok, term()} | problem().
-callback format(Normalised :: term()) -> hornbeam_option_toml:value().
-callback describe() -> iodata().
%% And where they apply. Of one with paths:
-callback anchor(Normalised :: term(), Base :: binary()) -> {ok, term()} | problem().
%% Of one that a configuration file may have as a table: as check/1 takes it; none: it cannot be one. Read: an option in the table, and
%% its value as its type takes it.
-callback from_table(#{binary() => term()}, Read :: fun((binary(), term()) -> {atom() | binary(), term()})) -> term() | none.
%% Of one whose list may also be a map, of what tells its entries apart to the rest of each: what a table of it calls that; such an entry.
-callback key() -> binary().
-callback from_entry(Name :: binary(), Value :: term(), Read :: fun((binary(), term()) -> {atom() | binary(), term()})) -> term().
%% Of one that may have commas in it: the items of a list in one piece of text.
-callback split(string()) -> [string()].
-optional_callbacks([anchor/2, from_table/2, key/0, from_entry/3, split/1]).

-type type() ::
    {integer, Min :: integer(), Max :: integer()}
    | {limit, Min :: integer(), Max :: integer()}       % an integer, or infinity
    | {timeout, Max :: pos_integer()}                   % an integer, or infinity, which 0 means as well
    | {enum, [atom(), ...]}
    | boolean
    | text                                              % binary()
    | name                                              % atom(), also made from text: the only type that makes atoms
    | app                                               % "module:attribute" or "module" as a binary()
    | directory | venv | interpreter                    % binary(), absolute once anchored
    | environment                                       % #{binary() => binary()}
    | {optional, type()}                                % or <<>> for none
    | {auto, type()}                                    % or auto, for what the server finds out
    | {list, type()}                                    % one or several
    | {custom, module()}.

-type spec() :: #{
    key := atom(),
    type := type(),
    default := term(),
    scope := server | mount,
    group := hornbeam_option_table:group(),
    doc := string(),
    implied_by => [atom()],
    unit => ms | us | bytes,
    check => fun((term()) -> ok | problem()),
    secret => boolean(),
    flag => string(),
    metavar => string()}.

%% What is wrong, to be read after the option's name ("must be ..."), and the part of the value that is to blame.
-type problem() :: {error, iodata()} | {error, iodata(), Culprit :: term()}.

%% A value as a user wrote it -> the normalised one, or what is wrong with it.
-spec value(spec(), term()) -> {ok, term()} | {error, {bad_option, atom(), binary()}}.
value(#{key := Key, type := Type} = Spec, Given) ->
    Own = maps:get(check, Spec, fun(_) -> ok end),
    case check(Type, Given) of
        {ok, Value} ->
            case Own(Value) of
                ok -> {ok, Value};
                Problem -> {error, {bad_option, Key, explain(Spec, Problem)}}
            end;
        Problem ->
            {error, {bad_option, Key, explain(Spec, Problem)}}
    end.

explain(#{secret := true}, {error, Text, _}) ->
    unicode:characters_to_binary(Text);
explain(_, {error, Text, Culprit}) ->
    unicode:characters_to_binary([Text, ", got ", hornbeam_option_text:show(Culprit)]);
explain(_, {error, Text}) ->
    unicode:characters_to_binary(Text).

-spec check(type(), term()) -> {ok, term()} | problem().
check({integer, Min, Max}, V) when is_integer(V), V >= Min, V =< Max -> {ok, V};
check({limit, Min, Max}, V) when is_integer(V), V >= Min, V =< Max; V =:= infinity -> {ok, V};
check({timeout, _}, 0) -> {ok, infinity};
check({timeout, Max}, V) when is_integer(V), V > 0, V =< Max; V =:= infinity -> {ok, V};
check({enum, _} = Type, V) -> check_enum(Type, V);
check(boolean, V) when is_boolean(V) -> {ok, V};
check(text, V) -> text_or(text, V);
check(name, V) -> check_name(V);
check(app, V) -> check_app(V);
check(Path, V) when Path =:= directory; Path =:= venv; Path =:= interpreter -> check_path(Path, V);
check(environment, V) -> check_environment(V);
check({optional, _}, V) when V =:= ""; V =:= <<>> -> {ok, <<>>};
check({optional, Type}, V) -> check(Type, V);
check({auto, _}, V) when V =:= auto; V =:= "auto"; V =:= <<"auto">> -> {ok, auto};
check({auto, Type}, V) -> check_or_auto(Type, V);
check({list, {custom, Module} = Type}, V) when is_map(V) ->
    case has(Module, key, 0) of
        true -> check_items(Type, lists:sort(maps:to_list(V)), []);
        false -> check_items(Type, items(V), [])
    end;
check({list, Type}, V) -> check_items(Type, items(V), []);
check({custom, Module}, V) -> Module:check(V);
check(Type, V) -> wrong(Type, V).

wrong(Type, V) -> {error, ["must be ", describe(Type)], V}.

%% Whether a type's module has a callback that it may leave out.
-spec has(module(), Callback :: atom(), arity()) -> boolean().
has(Module, Callback, Arity) ->
    {module, Module} = code:ensure_loaded(Module),
    erlang:function_exported(Module, Callback, Arity).

check_or_auto(Type, V) ->
    case check(Type, V) of
        {ok, Value} -> {ok, Value};
        _ -> wrong({auto, Type}, V)
    end.

text_or(Type, V) ->
    case hornbeam_option_text:to_text(V) of
        {ok, Text} -> {ok, Text};
        error -> wrong(Type, V)
    end.

check_enum({enum, Values} = Type, V) when is_atom(V) ->
    case lists:member(V, Values) of
        true -> {ok, V};
        false -> wrong(Type, V)
    end;
check_enum({enum, Values} = Type, V) ->
    case hornbeam_option_text:to_text(V) of
        {ok, Text} ->
            Lower = string:lowercase(Text),
            case [Value || Value <- Values, string:lowercase(atom_to_binary(Value)) =:= Lower] of
                [Value] -> {ok, Value};
                [] -> wrong(Type, V)
            end;
        error ->
            wrong(Type, V)
    end.

%% Text becomes an atom here because the operator chooses the name of a server, once, and its length is bounded.
check_name(V) ->
    Text = case is_atom(V) of true -> {ok, atom_to_binary(V)}; false -> hornbeam_option_text:to_text(V) end,
    case Text of
        {ok, Name} ->
            case re:run(Name, "^[a-zA-Z][a-zA-Z0-9_.@-]{0,63}$", [dollar_endonly]) of
                {match, _} when Name =/= <<"undefined">> -> {ok, binary_to_atom(Name)};
                _ -> wrong(name, V)
            end;
        error ->
            wrong(name, V)
    end.

%% Dotted identifiers on both sides of one colon, or a module alone, in which the worker looks for the usual names
%% (hornbeam_worker/loader.py). Python allows letters of any script in identifiers.
check_app(V) when is_atom(V) ->
    check_app(atom_to_binary(V));
check_app(V) ->
    case hornbeam_option_text:to_text(V) of
        {ok, Text} ->
            Dotted = "[\\p{L}_][\\p{L}\\p{N}_]*(\\.[\\p{L}_][\\p{L}\\p{N}_]*)*",
            case re:run(Text, ["^", Dotted, "(:", Dotted, ")?$"], [unicode, ucp, dollar_endonly]) of
                {match, _} -> {ok, Text};
                nomatch -> wrong(app, V)
            end;
        error ->
            wrong(app, V)
    end.

check_path(Type, V) ->
    case hornbeam_option_text:to_text(V) of
        {ok, <<_, _/binary>> = Path} -> {ok, Path};
        _ -> wrong(Type, V)
    end.

check_environment(V) when is_map(V) -> check_variables(maps:to_list(V), #{});
check_environment(V) -> check_variables(items(V), #{}).

check_variables([Item | Rest], Done) ->
    case check_variable(Item) of
        {ok, Name, Value} -> check_variables(Rest, Done#{Name => Value});
        error -> wrong(environment, Item)
    end;
check_variables([], Done) ->
    {ok, Done};
check_variables(Improper, _) ->
    wrong(environment, Improper).

check_variable({Name, Value}) when is_atom(Name) ->
    check_variable({atom_to_binary(Name), Value});
check_variable({Name, Value}) ->
    case {hornbeam_option_text:to_text(Name), hornbeam_option_text:to_text(Value)} of
        {{ok, <<_, _/binary>> = N}, {ok, V}} ->
            case binary:match(N, <<"=">>) of
                nomatch -> {ok, N, V};
                _ -> error
            end;
        _ ->
            error
    end;
check_variable(Item) ->
    case hornbeam_option_text:to_text(Item) of
        {ok, Text} ->
            case binary:split(Text, <<"=">>) of
                [Name, Value] -> check_variable({Name, Value});
                [_] -> error
            end;
        error ->
            error
    end.

%% One value or several: text is one, any other list several.
items(V) ->
    case is_list(V) andalso not hornbeam_option_text:is_text(V) of
        true -> V;
        false -> [V]
    end.

check_items(Type, [Item | Rest], Done) ->
    case check(Type, Item) of
        {ok, Value} -> check_items(Type, Rest, [Value | Done]);
        Problem -> Problem
    end;
check_items(_, [], Done) ->
    {ok, lists:reverse(Done)};
check_items(Type, Improper, _) ->
    wrong({list, Type}, Improper).

%% The texts given for one option -> a term for value/2. What cannot be read stays text, which check/2 then refuses.
-spec parse(type(), [string()]) -> term().
parse({list, Type}, Texts) -> [parse(Type, [Text]) || Text <- Texts];
parse(environment, Texts) -> Texts;
parse({Or, Type}, Texts) when Or =:= optional; Or =:= auto -> parse(Type, Texts);
parse({integer, _, _}, Texts) -> parse_integer(lists:last(Texts));
parse({limit, _, _}, Texts) -> parse_limit(lists:last(Texts));
parse({timeout, _}, Texts) -> parse_limit(lists:last(Texts));
parse(boolean, Texts) -> parse_boolean(lists:last(Texts));
parse(_, Texts) -> lists:last(Texts).

parse_limit("infinity") -> infinity;
parse_limit(Text) -> parse_integer(Text).

%% Nothing longer than 20 characters can be in any range: the conversion of very long digits is slow.
parse_integer(Text) ->
    Digits = case Text of [$- | Rest] -> Rest; _ -> Text end,
    case Digits =/= "" andalso length(Digits) =< 20 andalso lists:all(fun(C) -> C >= $0 andalso C =< $9 end, Digits) of
        true -> list_to_integer(Text);
        false -> Text
    end.

parse_boolean(Text) ->
    Lower = string:lowercase(Text),
    case {lists:member(Lower, ["true", "yes", "on", "1"]), lists:member(Lower, ["false", "no", "off", "0"])} of
        {true, _} -> true;
        {_, true} -> false;
        _ -> Text
    end.

%% The items in one piece of text, as an environment variable carries them.
-spec split(type(), string()) -> [string()].
split({list, directory}, Text) -> split_at(":", Text);
split({list, {custom, Module}}, Text) ->
    case has(Module, split, 1) of
        true -> Module:split(Text);
        false -> split_at(",", Text)
    end;
split(Type, Text) ->
    case is_multiple(Type) of
        true -> split_at(",", Text);
        false -> [Text]
    end.

split_at(Separator, Text) ->
    [Item || Item <- lists:map(fun string:trim/1, string:split(Text, Separator, all)), Item =/= ""].

-spec is_multiple(type()) -> boolean().
is_multiple({list, _}) -> true;
is_multiple(environment) -> true;
is_multiple(_) -> false.

%% Relative paths start from Base; what should be there is looked for.
-spec anchor(type(), term(), binary()) -> {ok, term()} | problem().
anchor({optional, _}, <<>>, _) -> {ok, <<>>};
anchor({optional, Type}, Value, Base) -> anchor(Type, Value, Base);
anchor({list, Type}, Values, Base) -> anchor_items(Type, Values, Base, []);
anchor({custom, Module}, Value, Base) ->
    case has(Module, anchor, 2) of
        true -> Module:anchor(Value, Base);
        false -> {ok, Value}
    end;
anchor(directory, Path, Base) ->
    existing(absolute(Path, Base), fun filelib:is_dir/1, "names a directory that does not exist: ");
anchor(venv, Path, Base) ->
    IsVenv = fun(Dir) -> filelib:is_regular(filename:join(Dir, <<"bin/python">>)) end,
    existing(absolute(Path, Base), IsVenv, "must be a virtual environment, with bin/python in it: ");
anchor(interpreter, Path, Base) ->
    case binary:match(Path, <<"/">>) of
        nomatch -> {ok, Path};
        _ -> existing(absolute(Path, Base), fun filelib:is_regular/1, "names an interpreter that does not exist: ")
    end;
anchor(_, Value, _) -> {ok, Value}.

anchor_items(Type, [Item | Rest], Base, Done) ->
    case anchor(Type, Item, Base) of
        {ok, Value} -> anchor_items(Type, Rest, Base, [Value | Done]);
        Problem -> Problem
    end;
anchor_items(_, [], _, Done) ->
    {ok, lists:reverse(Done)}.

existing(Path, Exists, Otherwise) ->
    case Exists(Path) of
        true -> {ok, Path};
        false -> {error, [Otherwise, Path]}
    end.

%% ".." stays: what it means depends on symbolic links.
absolute(Path, Base) ->
    filename:join([Part || Part <- filename:split(filename:absname(Path, Base)), Part =/= <<".">>]).

%% A normalised value, or a masked one, as a configuration file would have it.
-spec format(type(), term()) -> hornbeam_option_toml:value().
format(_, Secret) when Secret =:= <<"***">> -> Secret;
format({optional, _}, <<>>) -> <<>>;
format({auto, _}, auto) -> <<"auto">>;
format({Or, Type}, Value) when Or =:= optional; Or =:= auto -> format(Type, Value);
format({list, Type}, Values) -> [format(Type, Value) || Value <- Values];
format({custom, Module}, Value) -> Module:format(Value);
format(environment, Variables) -> {table, lists:sort(maps:to_list(Variables))};
format(_, Value) when is_atom(Value), not is_boolean(Value) -> atom_to_binary(Value);
format(_, Value) -> Value.

%% What the type accepts, to be read after "must be".
-spec describe(type()) -> iodata().
describe({integer, Min, Max}) -> io_lib:format("an integer from ~b to ~b", [Min, Max]);
describe({limit, Min, Max}) -> io_lib:format("an integer from ~b to ~b, or infinity", [Min, Max]);
describe({timeout, Max}) -> io_lib:format("an integer from 1 to ~b, or infinity (also 0) for no limit", [Max]);
describe({enum, Values}) -> hornbeam_option_text:enumerate(hornbeam_option_text:names(Values));
describe(boolean) -> "true or false";
describe(text) -> "text";
describe(name) -> "a name of at most 64 letters, digits and \"_\", \"-\", \".\", \"@\" that begins with a letter";
describe(app) -> "\"module:attribute\", such as \"app:app\", or \"module\"";
describe(directory) -> "a directory";
describe(venv) -> "the directory of a virtual environment";
describe(interpreter) -> "the name or the path of a Python interpreter";
describe(environment) -> "a map of names to values, or a list of \"NAME=VALUE\"";
describe({optional, Type}) -> [describe(Type), ", or \"\""];
describe({auto, Type}) -> [describe(Type), ", or auto"];
describe({list, Type}) -> [describe(Type), ", or a list of them"];
describe({custom, Module}) -> Module:describe().
