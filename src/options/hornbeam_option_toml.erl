%%% Options as TOML has them, both ways: a configuration file's keys and values as the types take them, and normalised
%%% values as lines of such a file.
%%%
%%% Pure functions of a table of options. Called by hornbeam_option_sources (name/2, given/3) and hornbeam_option_report
%%% (line/2); calls the modules of {custom, Module} for their tables (hornbeam_option_types has the callbacks). What is no value of an option
%%% stays as it is, for hornbeam_option_types:value/2 to refuse. Text is binaries, tables are maps (priv/python/hornbeam/configuration.py).
-module(hornbeam_option_toml).

-export([name/2, given/3, line/2]).
-export_type([value/0]).

-type spec() :: hornbeam_option_types:spec().

%% A value as hornbeam_option_types:format/2 gives it; a table keeps its order.
-type value() :: boolean() | integer() | binary() | [value()] | {table, [{binary(), value()}]}.

%% The option that a key names: its key or its flag, with dashes or underscores.
-spec name(binary(), #{binary() => spec()}) -> {ok, spec()} | error.
name(Key, Names) ->
    case Names of
        #{Key := Spec} -> {ok, Spec};
        #{} -> maps:find(binary:replace(Key, <<"-">>, <<"_">>, [global]), Names)
    end.

%% Names: all that name/2 finds, for the tables of mounts.
-spec given(hornbeam_option_types:type(), term(), #{binary() => spec()}) -> term().
given({list, Type}, Values, Names) when is_list(Values) -> [given(Type, item(Value), Names) || Value <- Values];
given({list, {custom, Module} = Type}, Table, Names) when is_map(Table) ->
    case hornbeam_option_types:has(Module, key, 0) andalso not is_map_key(Module:key(), Table) of
        true -> [Module:from_entry(Name, Value, read(Names)) || {Name, Value} <- lists:sort(maps:to_list(Table))];
        false -> given(Type, Table, Names)
    end;
given({list, Type}, Value, Names) -> given(Type, Value, Names);
given({Or, Type}, Value, Names) when Or =:= optional; Or =:= auto -> given(Type, Value, Names);
given({limit, _, _}, <<"infinity">>, _) -> infinity;
given({timeout, _}, <<"infinity">>, _) -> infinity;
given(environment, Values, _) when is_list(Values) -> lists:map(fun item/1, Values);
given(environment, Table, _) when is_map(Table) -> maps:map(fun(_, Value) -> item(Value) end, Table);
given({custom, Module}, Table, Names) when is_map(Table) ->
    case hornbeam_option_types:has(Module, from_table, 2) andalso Module:from_table(Table, read(Names)) of
        No when No =:= false; No =:= none -> 'a table';
        Given -> Given
    end;
%% No type takes these; Erlang would take an array of numbers for text, and a message would show a table as Erlang writes it.
given(_, Value, _) when is_list(Value) -> 'an array';
given(_, Value, _) when is_map(Value) -> 'a table';
given(_, Value, _) -> Value.

%% There is no option with a list of numbers, and in Erlang such a list is text.
item(Value) when is_integer(Value) -> integer_to_binary(Value);
item(Value) -> Value.

%% An option in a table of a type's own.
read(Names) ->
    fun(Key, Value) ->
        case name(Key, Names) of
            {ok, #{key := Option, type := Type}} -> {Option, given(Type, Value, Names)};
            error -> {Key, Value}
        end
    end.

%% `key = value'.
-spec line(atom(), value()) -> iodata().
line(Key, Value) -> [atom_to_binary(Key), " = ", write(Value)].

write(Value) when is_boolean(Value) -> atom_to_binary(Value);
write(Value) when is_integer(Value) -> integer_to_binary(Value);
write(Value) when is_binary(Value) -> text(Value);
write({table, []}) -> "{}";
write({table, Pairs}) -> ["{ ", lists:join(", ", [[key(Key), " = ", write(Value)] || {Key, Value} <- Pairs]), " }"];
write(Values) -> ["[", lists:join(", ", [write(Value) || Value <- Values]), "]"].

key(Key) ->
    case re:run(Key, "^[A-Za-z0-9_-]+$", [dollar_endonly]) of
        {match, _} -> Key;
        nomatch -> text(Key)
    end.

text(Text) -> [$", [character(C) || C <- unicode:characters_to_list(Text)], $"].

character($") -> "\\\"";
character($\\) -> "\\\\";
character(C) when C < 32; C >= 127, C < 160 -> io_lib:format("\\u~4.16.0B", [C]);
character(C) -> <<C/utf8>>.
